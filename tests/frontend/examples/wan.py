"""Examples on Wan 2.1: they need its files."""

from __future__ import annotations

from dataclasses import replace

from .declarations import MODEL, PLAN, Example, File, Group, Node
from .parts import (
    FINISH_GROUP,
    MODEL_GROUP,
    PLAN_AND_CONTEXT,
    PLAN_GROUP,
    REPORT_GROUP,
    SAMPLE_GROUP,
    along,
    changed,
    clip,
    context,
    encode,
    finishing,
    flow,
    load_group,
    note,
    plan,
    report,
    sampling,
    saving,
)

REPACKAGED = "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files"


def repackaged(name: str, directory: str) -> File:
    """A file as ComfyUI's own examples name it."""
    return File(name, directory, f"{REPACKAGED}/{directory}/{name}")


BASE = repackaged("wan2.1_t2v_1.3B_fp16.safetensors", "diffusion_models")
VAE = repackaged("wan_2.1_vae.safetensors", "vae")
TEXT = repackaged("umt5_xxl_fp8_e4m3fn_scaled.safetensors", "text_encoders")
ADAPTER = File("patchvsr_wan21_1p3b.safetensors", "model_patches")
FILES = (BASE, VAE, TEXT)
LOADER = (400, 0)
"""Wide enough for the names."""
WINDOWS = {"patch_px": 512, "window_frames": 81, "overlap_frames": 16}

WAN_NOTE = """
## PatchVSR on Wan 2.1, without an adapter

Wan as a detail enhancer: no training needed. Other files and sizes of Wan text-to-video work too, fp8 and GGUF as \
well: choose them in the loaders.

- **denoise** in BasicScheduler: higher adds more new detail and keeps less of the clip. 0.3 enhances; above that it \
starts to invent.
- **Positive prompt**: describe what the clip shows, and how sharp it should be.
- **Patch Planner**: *layout* alternating uses a third of the patches.

**Cost**: patches in *The plan* x windows of 81 frames x 10 steps x 2 for guidance. A GPU is needed in practice; set \
cfg to 1 to save half.
"""
ADAPTER_NOTE = """
## PatchVSR on Wan 2.1 1.3B, with an adapter

The adapter conditions the model on every patch: what it shows and where in the video it is. It comes with its own \
fixed prompt, so no text encoder is loaded.

**No trained adapter for Wan is distributed yet.** You can train one with PatchVSR on your own footage: see *Train an \
adapter* in *docs/training.md* (configuration *wan21_1p3b*; made for a GPU of 24 GB). Until then open the \
template *Add detail with Wan 2.2*, which needs none, or *Upscale a video*.

- **Load Adapter**: choose your file. It must have been trained for the Wan that you load.
- **noise_level** in Patch Encoder: 0 stays close to the input, 0.25 lets the model invent detail.
- **steps** 20 from pure noise: *denoise* stays 1.

**Cost**: patches in *The plan* x windows of 81 frames x 20 steps; no guidance, so the model runs once per step.
"""
OLD_FILM_NOTE = """
## Old film, restored

Wan restores texture that the print has lost, and **Flow Propagation** keeps it stable along the motion \
(Upscale-A-Video). Trim the clip to one shot first; remove heavy scratches and dust with your usual tools before this \
graph.

- **Noise level**: *denoise* in BasicScheduler. 0.2 for a good print, 0.3 as a rule, 0.4 if little is left.
- **Positive prompt**: start with what the clip shows (*a street in winter, men in hats*), then the look. Mention \
black and white, or it may be coloured. The negative prompt names the defects.
- **Restore strength** in Refine & Fidelity: 1 treats grain as noise and removes as much as was measured; 0.3 to 0.5 \
keeps some, 0 all of it. Control grain here, not in the prompt.
- **weight** in Flow Propagation: 0.5; less if a shot is full of dust, which would be dragged along.
- **Quality Report** shows whether the result flickers, and *Where it flickers* shows where.

**Cost**: patches in *The plan* x windows of 81 frames x 10 steps x 2 for guidance. Propagation and report add little.
"""


def loaders() -> dict[str, Node]:
    positive = "sharp focus, fine natural texture, crisp edges, high quality video"
    negative = "blurry, low resolution, compression artefacts, noise, oversharpened"
    return {
        "base": Node("UNETLoader", {"unet_name": BASE.name, "weight_dtype": "default"}, size=LOADER, files=(BASE,)),
        "vae": Node("VAELoader", {"vae_name": VAE.name}, size=LOADER, files=(VAE,)),
        "clip": Node("CLIPLoader", {"clip_name": TEXT.name, "type": "wan"}, size=LOADER, files=(TEXT,)),
        "positive": Node(
            "CLIPTextEncode", {"clip": "@clip.CLIP", "text": positive}, title="Positive prompt", size=(300, 140)
        ),
        "negative": Node(
            "CLIPTextEncode", {"clip": "@clip.CLIP", "text": negative}, title="Negative prompt", size=(300, 140)
        ),
    }


WAN_LOAD = load_group([], ["base", "vae", "clip"], ["positive", "negative"])

WAN21 = Example(
    name="patchvsr_wan21",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a02",
    nodes={
        **note(WAN_NOTE, FILES),
        **clip(),
        **loaders(),
        **plan("@vae.VAE", **WINDOWS),
        **encode("@vae.VAE"),
        "shift": Node("ModelSamplingSD3", {"model": "@base.MODEL", "shift": 5.0}),
        "apply": Node(
            "PatchVSR_ApplyPatchVSR",
            {
                "model": "@shift.MODEL",
                "plan": "@plan.plan",
                "patch_cond": "@encode.patch_cond",
                "structure_lock": 0.5,
                "projection_steps": 1,
                "churn": 0.2,
            },
        ),
        "merge": Node("PatchVSR_JointModulationMerger", {"model": "@apply.MODEL", "plan": "@plan.plan"}),
        "guider": Node(
            "CFGGuider",
            {
                "model": "@merge.MODEL",
                "positive": "@positive.CONDITIONING",
                "negative": "@negative.CONDITIONING",
                "cfg": 2.0,
            },
        ),
        **sampling(steps=10, denoise=0.3),
        **finishing("@vae.VAE", "wavelet", refine_strength=0.0, rounds=8),
        **saving(),
    },
    groups=[
        WAN_LOAD,
        PLAN_GROUP,
        replace(MODEL_GROUP, columns=[["shift", "apply", "merge"]]),
        SAMPLE_GROUP,
        FINISH_GROUP,
    ],
)

WAN21_ADAPTER = Example(
    name="patchvsr_wan21_adapter",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a14",
    nodes={
        **note(ADAPTER_NOTE, (BASE, VAE, ADAPTER)),
        **clip(),
        **{name: loaders()[name] for name in ("base", "vae")},
        "adapter": Node("PatchVSR_LoadAdapter", {"adapter_name": ADAPTER.name}, size=LOADER, files=(ADAPTER,)),
        **plan("@vae.VAE", **WINDOWS),
        "encode": changed(encode("@vae.VAE")["encode"], noise_level=0.25),
        **context("@vae.VAE", "@adapter.adapter"),
        "shift": WAN21.nodes["shift"],
        "apply": Node(
            "PatchVSR_ApplyPatchVSR",
            {
                "model": "@shift.MODEL",
                "plan": "@plan.plan",
                "patch_cond": "@encode.patch_cond",
                "adapter": "@adapter.adapter",
                "global_context": "@context.global_context",
            },
        ),
        "merge": WAN21.nodes["merge"],
        "guider": Node("BasicGuider", {"model": "@merge.MODEL", "conditioning": "@adapter.prompt"}),
        **sampling(steps=20, denoise=1.0),
        **finishing("@vae.VAE", "wavelet", refine_strength=0.0, rounds=8),
        **saving(),
    },
    groups=[
        load_group([], ["base", "vae", "adapter"]),
        PLAN_AND_CONTEXT,
        WAN21.groups[2],
        SAMPLE_GROUP,
        FINISH_GROUP,
    ],
)

OLD_FILM = Example(
    name="patchvsr_old_film",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a15",
    nodes={
        **WAN21.nodes,
        **note(OLD_FILM_NOTE, FILES),
        "positive": changed(
            WAN21.nodes["positive"],
            text="a restored black and white film, sharp focus, fine natural texture of skin, cloth and wood, "
            "rich grey tones, clean print",
        ),
        "negative": changed(
            WAN21.nodes["negative"],
            text="scratches, dust, dirt, flicker, heavy grain, blurry, faded, oversharpened, colour tint",
        ),
        **flow("@parts.images"),
        **along("@shift.MODEL", 0.5),
        "apply": changed(WAN21.nodes["apply"], model="@along.MODEL"),
        **saving(prefix="video/PatchVSR_old_film"),
        **report(),
    },
    groups=[
        WAN_LOAD,
        Group("Plan & encode", PLAN, [["plan", "preview"], ["encode", "flow"]]),
        Group("Model", MODEL, [["shift", "along"], ["apply", "merge"]]),
        SAMPLE_GROUP,
        REPORT_GROUP,
    ],
)
