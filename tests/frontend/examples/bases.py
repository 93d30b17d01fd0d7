"""Examples on models that artists already have: they need their files."""

from __future__ import annotations

from dataclasses import replace

from .declarations import FINISH, LOAD, MODEL, Example, File, Group, Node
from .parts import (
    CLIP,
    FINISH_GROUP,
    PLAN_GROUP,
    SAMPLE_GROUP,
    changed,
    clip,
    encode,
    finishing,
    load_group,
    note,
    plan,
    sampling,
    saving,
)
from .wan import LOADER, TEXT, WAN21

SEEDVR2_FILES = "https://huggingface.co/Comfy-Org/SeedVR2/resolve/main"
SEEDVR2 = File(
    "seedvr2_3b_fp8_e4m3fn.safetensors",
    "diffusion_models",
    f"{SEEDVR2_FILES}/diffusion_models/seedvr2_3b_fp8_e4m3fn.safetensors",
)
SEEDVR2_VAE = File("seedvr2_ema_vae_fp16.safetensors", "vae", f"{SEEDVR2_FILES}/vae/seedvr2_ema_vae_fp16.safetensors")
WAN22_FILES = "https://huggingface.co/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files"
WAN22 = File(
    "wan2.2_ti2v_5B_fp16.safetensors",
    "diffusion_models",
    f"{WAN22_FILES}/diffusion_models/wan2.2_ti2v_5B_fp16.safetensors",
)
WAN22_VAE = File("wan2.2_vae.safetensors", "vae", f"{WAN22_FILES}/vae/wan2.2_vae.safetensors")
FLUX = File(
    "flux1-schnell-fp8.safetensors",
    "checkpoints",
    "https://huggingface.co/Comfy-Org/flux1-schnell/resolve/main/flux1-schnell-fp8.safetensors",
)

LTX = File(
    "ltx-video-2b-v0.9.safetensors",
    "checkpoints",
    "https://huggingface.co/Lightricks/LTX-Video/resolve/main/ltx-video-2b-v0.9.safetensors",
)
LTX_TEXT = File(
    "t5xxl_fp16.safetensors",
    "text_encoders",
    "https://huggingface.co/comfyanonymous/flux_text_encoders/resolve/main/t5xxl_fp16.safetensors",
)

SEEDVR2_NOTE = """
## SeedVR2, patch by patch, without seams

SeedVR2 was made for super-resolution: one step, no prompt. Here all patches are fused into one canvas, so that 4K \
fits where one pass does not, and no tile shows. The 7B and the int8 files work too.

- **patch_px**: 1024 as a rule; 768 or 512 if memory runs out.
- **window_frames**: frames that the model sees at once, 4n+1. More is steadier and takes more memory.
- **color_fix**: lab, as core's own node for SeedVR2.

**Cost**: patches in *The plan* x windows, one step each. A GPU is needed in practice. Step by step, from the files to \
the result: *docs/bases.md* in the folder of the pack.
"""
SEEDVR2_4K_NOTE = """
## SeedVR2 for long videos in 4K

One node reads, upscales and writes the file chunk by chunk; it makes SeedVR2's condition for every chunk, so no \
prompt is connected. Audio, subtitles and timing are kept, memory does not grow with the video, and a run that was \
stopped resumes where it was when queued again.

- **target**: choose *4K* for your own clip; **patch_px**: 512 or 768 if memory runs out.
- **propagation**: 0.25 to 0.5 against flicker.

**Cost**: one step, with a patch of 1024 pixels at a time. A GPU is needed in practice. Step by step, from the files \
to the result: *docs/bases.md* in the folder of the pack.
"""
WAN22_NOTE = """
## PatchVSR on Wan 2.2 5B

The small Wan 2.2 as a detail enhancer: no training needed. Its VAE makes 16 x 16 pixels one cell, so a patch of 512 \
pixels is cheap.

- **denoise** in BasicScheduler: 0.3 enhances; above that it starts to invent.
- **Positive prompt**: describe what the clip shows, and how sharp it should be.

**Cost**: patches in *The plan* x windows of 81 frames x 10 steps x 2 for guidance. A GPU is needed in practice; set \
cfg to 1 to save half.
"""
LTX_NOTE = """
## PatchVSR on LTX-Video

LTX as a detail enhancer: no training needed. Its VAE makes 32 x 32 pixels and 8 frames one cell, so that a patch of \
768 pixels and 97 frames is cheap. Generated with LTX? It enhances its own clips best.

- **denoise** in BasicScheduler: 0.3 enhances; above that it starts to invent.
- **window_frames**: 8n+1; other lengths of a clip are padded and cropped by themselves.

**Cost**: patches in *The plan* x windows of 97 frames x 10 steps x 2 for guidance. A GPU is needed in practice; set \
cfg to 1 to save half.
"""
FLUX_NOTE = """
## A still of any size, with Flux

An image model enhances a picture patch by patch: 8K from a model made for one megapixel, without seams. SDXL, SD 1.5, \
Qwen-Image and others work in the same way: load another checkpoint. A clip works too, frame by frame.

- **denoise** in BasicScheduler: 0.3 enhances; above that it starts to invent.
- **Prompt**: describe what the picture shows.
- **layout** in Patch Planner: corner has no seams at any number of steps.

**Cost**: patches in *The plan* x 4 steps. A GPU is needed in practice.
"""


def seedvr2_loaders() -> dict[str, Node]:
    return {
        "base": Node(
            "UNETLoader", {"unet_name": SEEDVR2.name, "weight_dtype": "default"}, size=LOADER, files=(SEEDVR2,)
        ),
        "vae": Node("VAELoader", {"vae_name": SEEDVR2_VAE.name}, size=LOADER, files=(SEEDVR2_VAE,)),
    }


SEEDVR2_GRAPH = Example(
    name="patchvsr_seedvr2",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a20",
    nodes={
        **note(SEEDVR2_NOTE, (SEEDVR2, SEEDVR2_VAE)),
        **clip(),
        **seedvr2_loaders(),
        **plan("@vae.VAE", scale=4.0, patch_px=1024, layout="corner", window_frames=21, overlap_frames=4),
        **encode("@vae.VAE"),
        "condition": Node("SeedVR2Conditioning", {"model": "@base.MODEL", "vae_conditioning": "@encode.LATENT"}),
        "merge": Node("PatchVSR_JointModulationMerger", {"model": "@base.MODEL", "plan": "@plan.plan"}),
        "guider": Node("BasicGuider", {"model": "@merge.MODEL", "conditioning": "@condition.positive"}),
        **sampling(steps=1, denoise=1.0),
        **finishing("@vae.VAE", "lab", refine_strength=0.0, rounds=8),
        **saving(prefix="video/PatchVSR_seedvr2"),
    },
    groups=[
        load_group([], ["base", "vae"]),
        PLAN_GROUP,
        Group("Model", MODEL, [["condition", "merge"]]),
        SAMPLE_GROUP,
        FINISH_GROUP,
    ],
)

SEEDVR2_4K = Example(
    name="patchvsr_seedvr2_4k",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a21",
    nodes={
        **note(SEEDVR2_4K_NOTE, (SEEDVR2, SEEDVR2_VAE)),
        "video": Node("LoadVideo", {"file": CLIP}, size=(300, 300)),
        **seedvr2_loaders(),
        "upscale": Node(
            "PatchVSR_UpscaleVideo",
            {
                "video": "@video.VIDEO",
                "model": "@base.MODEL",
                "vae": "@vae.VAE",
                "filename_prefix": "video/PatchVSR_seedvr2_4k",
            },
            size=(420, 640),
        ),
    },
    groups=[
        Group("Load", LOAD, [["note"], ["video", "base", "vae"]]),
        Group("Upscale", FINISH, [["upscale"]]),
    ],
)

WAN22_5B = replace(
    WAN21,
    name="patchvsr_wan22_5b",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a22",
    nodes={
        **WAN21.nodes,
        **note(WAN22_NOTE, (WAN22, WAN22_VAE, TEXT)),
        "base": replace(
            WAN21.nodes["base"], inputs={"unet_name": WAN22.name, "weight_dtype": "default"}, files=(WAN22,)
        ),
        "vae": replace(WAN21.nodes["vae"], inputs={"vae_name": WAN22_VAE.name}, files=(WAN22_VAE,)),
        **saving(prefix="video/PatchVSR_wan22_5b"),
    },
)

IMAGE_FLUX = Example(
    name="patchvsr_image_flux",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a23",
    nodes={
        **note(FLUX_NOTE, (FLUX,)),
        "parts": Node("LoadImage", {"image": "example.png"}, size=(300, 340)),
        "model": Node("CheckpointLoaderSimple", {"ckpt_name": FLUX.name}, size=LOADER, files=(FLUX,)),
        "positive": Node(
            "CLIPTextEncode",
            {"clip": "@model.CLIP", "text": "a sharp photograph with fine natural texture"},
            title="Prompt",
            size=(300, 140),
        ),
        "plan": changed(
            plan("@model.VAE")["plan"],
            image="@parts.IMAGE",
            patch_px=1024,
            layout="corner",
            window_frames=1,
            overlap_frames=0,
        ),
        "preview": plan("@model.VAE")["preview"],
        "encode": changed(encode("@model.VAE")["encode"], image="@parts.IMAGE"),
        "apply": Node(
            "PatchVSR_ApplyPatchVSR",
            {
                "model": "@model.MODEL",
                "plan": "@plan.plan",
                "patch_cond": "@encode.patch_cond",
                "structure_lock": 0.5,
                "projection_steps": 1,
            },
        ),
        "merge": Node("PatchVSR_JointModulationMerger", {"model": "@apply.MODEL", "plan": "@plan.plan"}),
        "guider": Node("BasicGuider", {"model": "@merge.MODEL", "conditioning": "@positive.CONDITIONING"}),
        **sampling(steps=4, denoise=0.3),
        "decode": finishing("@model.VAE", "wavelet")["decode"],
        "blend": changed(finishing("@model.VAE", "wavelet")["blend"], image="@parts.IMAGE"),
        "refine": changed(
            finishing("@model.VAE", "wavelet", refine_strength=0.0, rounds=8)["refine"], source="@parts.IMAGE"
        ),
        "save": Node("SaveImage", {"images": "@refine.IMAGE", "filename_prefix": "PatchVSR_flux"}, size=(420, 440)),
    },
    groups=[
        Group("Load", LOAD, [["note"], ["parts", "model"], ["positive"]]),
        PLAN_GROUP,
        Group("Model", MODEL, [["apply", "merge"]]),
        SAMPLE_GROUP,
        Group("Decode & finish", FINISH, [["decode", "blend", "refine"], ["save"]]),
    ],
)

LTX_GRAPH = Example(
    name="patchvsr_ltx",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a24",
    nodes={
        **note(LTX_NOTE, (LTX, LTX_TEXT)),
        **clip(),
        "model": Node("CheckpointLoaderSimple", {"ckpt_name": LTX.name}, size=LOADER, files=(LTX,)),
        "clip": Node("CLIPLoader", {"clip_name": LTX_TEXT.name, "type": "ltxv"}, size=LOADER, files=(LTX_TEXT,)),
        **{name: WAN21.nodes[name] for name in ("positive", "negative")},
        "rate": Node(
            "LTXVConditioning",
            {"positive": "@positive.CONDITIONING", "negative": "@negative.CONDITIONING", "frame_rate": "@parts.fps"},
        ),
        **plan("@model.VAE", patch_px=768, layout="corner", window_frames=97, overlap_frames=16),
        **encode("@model.VAE"),
        "apply": changed(WAN21.nodes["apply"], model="@model.MODEL"),
        "merge": WAN21.nodes["merge"],
        "guider": changed(WAN21.nodes["guider"], positive="@rate.positive", negative="@rate.negative", cfg=3.0),
        **sampling(steps=10, denoise=0.3),
        **finishing("@model.VAE", "wavelet", refine_strength=0.0, rounds=8),
        **saving(prefix="video/PatchVSR_ltx"),
    },
    groups=[
        load_group([], ["model", "clip"], ["positive", "negative", "rate"]),
        PLAN_GROUP,
        Group("Model", MODEL, [["apply", "merge"]]),
        SAMPLE_GROUP,
        FINISH_GROUP,
    ],
)
