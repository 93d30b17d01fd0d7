"""What the example workflows are made of; ``make_workflows.py`` builds them from this."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

CLIP = "patchvsr_sample.mp4"
TINY_NOTE = """\
## PatchVSR: the tiny default

The model ships with PatchVSR. Nothing to download, no GPU needed.

1. **Load Video**: choose a short clip.
2. **Patch Planner**: set the scale, or an exact size.
3. Run.
"""
VIDEO_NOTE = """\
## PatchVSR: videos of any length

One node reads, upscales and writes the file piece by piece: memory does not grow with the video, and \
sound, subtitles, timing and transparency are kept.

Cancelled, crashed or out of memory? Queue it again: it goes on where it was.

The result is in ComfyUI's output folder.
"""
WAN_NOTE = """\
## PatchVSR on Wan 2.1, without an adapter

Needs Wan 2.1 T2V 1.3B, its VAE and its text encoder, as ComfyUI's own Wan examples do. \
Other files and sizes of Wan text-to-video work too: choose them in the three loaders.

A higher **denoise** in BasicScheduler makes more new detail, and keeps less of the clip.
"""


@dataclass(frozen=True)
class Node:
    """One node. A value ``@name.output`` is a link to that output of the node ``name``."""

    type: str
    inputs: dict[str, Any]
    title: str | None = None
    size: tuple[int, int] | None = None
    """(width, height) at least; room for a preview."""


@dataclass(frozen=True)
class Group:
    """A titled box with columns of nodes, given by name."""

    title: str
    color: str
    columns: list[list[str]]


@dataclass(frozen=True)
class Example:
    """One workflow."""

    name: str
    id: str
    """Of the workflow, for the frontend."""
    nodes: dict[str, Node]
    groups: list[Group]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


LOAD, PLAN, MODEL, SAMPLE, FINISH = "#3f789e", "#8AA", "#b58b2a", "#88A", "#8A8"
"""Colours of the groups, out of the frontend's own palette."""


def _clip() -> dict[str, Node]:
    return {
        "video": Node("LoadVideo", {"file": CLIP}, size=(270, 300)),
        "parts": Node("GetVideoComponents", {"video": "@video.VIDEO"}),
    }


def _sampling(steps: int, denoise: float) -> dict[str, Node]:
    return {
        "noise": Node("RandomNoise", {"noise_seed": 0, "control_after_generate": "fixed"}),
        "solver": Node("KSamplerSelect", {"sampler_name": "euler"}),
        "sigmas": Node(
            "BasicScheduler", {"model": "@merge.MODEL", "scheduler": "simple", "steps": steps, "denoise": denoise}
        ),
        "sample": Node(
            "PatchVSR_PatchSampler",
            {
                "noise": "@noise.NOISE",
                "guider": "@guider.GUIDER",
                "sampler": "@solver.SAMPLER",
                "sigmas": "@sigmas.SIGMAS",
                "latent": "@encode.LATENT",
                "plan": "@plan.plan",
            },
        ),
    }


def _finishing(vae: str, color_fix: str, refine: dict[str, Any], prefix: str) -> dict[str, Node]:
    return {
        "decode": Node("PatchVSR_PatchDecoder", {"vae": vae, "latent": "@sample.LATENT", "plan": "@plan.plan"}),
        "blend": Node(
            "PatchVSR_Blender",
            {"tiles": "@decode.tiles", "image": "@parts.images", "window": "linear", "color_fix": color_fix},
        ),
        "refine": Node(
            "PatchVSR_RefineFidelity",
            {"image": "@blend.IMAGE", "source": "@parts.images", **refine},
        ),
        "join": Node("CreateVideo", {"images": "@refine.IMAGE", "fps": "@parts.fps", "audio": "@parts.audio"}),
        "save": Node("SaveVideo", {"video": "@join.VIDEO", "filename_prefix": prefix}, size=(360, 380)),
    }


TINY = Example(
    name="patchvsr_tiny",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a01",
    nodes={
        "note": Node("MarkdownNote", {"": TINY_NOTE}, title="Read me", size=(270, 190)),
        **_clip(),
        "tiny": Node("PatchVSR_LoadTinyDefault", {}),
        "plan": Node("PatchVSR_PatchPlanner", {"image": "@parts.images", "vae": "@tiny.VAE"}),
        "preview": Node("PreviewImage", {"images": "@plan.preview"}, title="The plan", size=(300, 300)),
        "encode": Node(
            "PatchVSR_PatchEncoder",
            {
                "vae": "@tiny.VAE",
                "image": "@parts.images",
                "plan": "@plan.plan",
                "noise_seed": 0,
            },
        ),
        "context": Node(
            "PatchVSR_GlobalContextEncoder",
            {"vae": "@tiny.VAE", "adapter": "@tiny.adapter", "image": "@parts.images", "plan": "@plan.plan"},
        ),
        "apply": Node(
            "PatchVSR_ApplyPatchVSR",
            {
                "model": "@tiny.MODEL",
                "plan": "@plan.plan",
                "patch_cond": "@encode.patch_cond",
                "adapter": "@tiny.adapter",
                "global_context": "@context.global_context",
            },
        ),
        "merge": Node("PatchVSR_JointModulationMerger", {"model": "@apply.MODEL", "plan": "@plan.plan"}),
        "guider": Node("BasicGuider", {"model": "@merge.MODEL", "conditioning": "@tiny.prompt"}),
        **_sampling(steps=1, denoise=1.0),
        **_finishing("@tiny.VAE", "none", {"refine_strength": 1.0, "rounds": 8}, "video/PatchVSR"),
    },
    groups=[
        Group("Load", LOAD, [["note", "video", "parts", "tiny"]]),
        Group("Plan & encode", PLAN, [["plan", "preview"], ["encode", "context"]]),
        Group("Model", MODEL, [["apply", "merge"]]),
        Group("Sample", SAMPLE, [["guider", "noise", "solver", "sigmas"], ["sample"]]),
        Group("Decode & finish", FINISH, [["decode", "blend", "refine"], ["join", "save"]]),
    ],
)

WAN21 = Example(
    name="patchvsr_wan21",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a02",
    nodes={
        "note": Node("MarkdownNote", {"": WAN_NOTE}, title="Read me", size=(270, 220)),
        **_clip(),
        "base": Node("UNETLoader", {"unet_name": "wan2.1_t2v_1.3B_fp16.safetensors", "weight_dtype": "default"}),
        "vae": Node("VAELoader", {"vae_name": "wan_2.1_vae.safetensors"}),
        "clip": Node("CLIPLoader", {"clip_name": "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "type": "wan"}),
        "positive": Node(
            "CLIPTextEncode",
            {"clip": "@clip.CLIP", "text": "sharp focus, fine natural texture, crisp edges, high quality video"},
            title="Positive prompt",
            size=(300, 140),
        ),
        "negative": Node(
            "CLIPTextEncode",
            {"clip": "@clip.CLIP", "text": "blurry, low resolution, compression artefacts, noise, oversharpened"},
            title="Negative prompt",
            size=(300, 140),
        ),
        "plan": Node(
            "PatchVSR_PatchPlanner",
            {
                "image": "@parts.images",
                "vae": "@vae.VAE",
                "patch_px": 512,
                "window_frames": 81,
                "overlap_frames": 16,
            },
        ),
        "preview": Node("PreviewImage", {"images": "@plan.preview"}, title="The plan", size=(300, 300)),
        "encode": Node(
            "PatchVSR_PatchEncoder",
            {
                "vae": "@vae.VAE",
                "image": "@parts.images",
                "plan": "@plan.plan",
                "noise_seed": 0,
            },
        ),
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
        **_sampling(steps=10, denoise=0.3),
        **_finishing("@vae.VAE", "wavelet", {"refine_strength": 0.5, "rounds": 8}, "video/PatchVSR"),
    },
    groups=[
        Group("Load", LOAD, [["note", "video", "parts"], ["base", "vae", "clip", "positive", "negative"]]),
        Group("Plan & encode", PLAN, [["plan", "preview"], ["encode"]]),
        Group("Model", MODEL, [["shift", "apply", "merge"]]),
        Group("Sample", SAMPLE, [["guider", "noise", "solver", "sigmas"], ["sample"]]),
        Group("Decode & finish", FINISH, [["decode", "blend", "refine"], ["join", "save"]]),
    ],
)

VIDEO = Example(
    name="patchvsr_video",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a03",
    nodes={
        "note": Node("MarkdownNote", {"": VIDEO_NOTE}, title="Read me", size=(300, 260)),
        "video": Node("LoadVideo", {"file": CLIP}, size=(300, 300)),
        "tiny": Node("PatchVSR_LoadTinyDefault", {}),
        "upscale": Node(
            "PatchVSR_UpscaleVideo",
            {
                "video": "@video.VIDEO",
                "model": "@tiny.MODEL",
                "vae": "@tiny.VAE",
                "positive": "@tiny.prompt",
                "adapter": "@tiny.adapter",
            },
            size=(420, 640),
        ),
    },
    groups=[
        Group("Load", LOAD, [["note"], ["video", "tiny"]]),
        Group("Upscale", FINISH, [["upscale"]]),
    ],
)

EXAMPLES = (TINY, WAN21, VIDEO)

FILES = {
    "LoadVideo": {"file": CLIP},
    "UNETLoader": {"unet_name": "wan2.1_t2v_1.3B_fp16.safetensors"},
    "VAELoader": {"vae_name": "wan_2.1_vae.safetensors"},
    "CLIPLoader": {"clip_name": "umt5_xxl_fp8_e4m3fn_scaled.safetensors"},
}
"""Files that the examples name; a user has them, a test machine need not."""
