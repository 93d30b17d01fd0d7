"""What the example workflows are made of; ``make_workflows.py`` builds them from this."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
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
UAV_NOTE = """\
## Upscale-A-Video in PatchVSR

**Optical Flow** measures how the picture moves, **Flow Propagation** mixes every frame with its \
neighbours along that motion: less flicker. **Conditional Refiner** lets the input modulate the \
features of the result. **Quality Report** says whether it helped.

The tiny default works on pixels, so the motion is measured on the enlarged clip. For a Wan the clip \
itself is enough.
"""
DCVSR_NOTE = """\
## DC-VSR in PatchVSR, on Wan 2.1

**Attention Propagation** lets patches look at one another: SAP across the frame, TAP across time. \
**Detail Guidance** (DSSAG) makes guidance ask for detail, at no extra time.

SAP about doubles the time of its steps; **lazy** takes half of that back. With 30 blocks it keeps \
about 7 GiB: choose fewer *layers*, or *offload*, when memory is short.
"""
STAR_NOTE = """\
## STAR in PatchVSR, on Wan 2.1

Starts from the noised input at the noise level **start** of STAR Schedule, with a text prompt, \
guidance, and its rescale (0.2). A lower start keeps more of the clip.

STAR's local gates (LIEM) are part of an adapter: Load Adapter has their strength, PatchVSR's \
trainer makes them, with STAR's frequency loss.
"""
EVERYTHING_NOTE = """\
## Everything at once, on Wan 2.1

Prompt, guidance, STAR's noise levels, attention between patches, detail guidance, propagation along \
the motion, the conditional refiner and a report. Bypass (Ctrl+B) what you want to compare.
"""

PREVIEW_NOTE = """\
## Fast preview, then the final result

**DAP Upscale** needs no diffusion: its result is there first, many times sooner. Bypass (Ctrl+B) the nodes \
of the groups behind it while you only look.

The same frames go into **Refine & Fidelity** as *base_layer*: two estimates that err in different \
places are better together.
"""
RENDER_NOTE = """\
## Rendered footage with its passes

**Load Render Passes** reads the multi-layer EXR files of Blender or another renderer: picture, motion, \
depth, normals, colour of the materials. **RDG Upscale** uses all of them. Passes that your files lack \
are estimated: leave those sockets unconnected.

Needs `pip install OpenEXR`. Sample: copy `examples/render` of PatchVSR to `input/patchvsr_render`.
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


def _flow(image: str) -> dict[str, Node]:
    return {"flow": Node("PatchVSR_OpticalFlow", {"image": image})}


def _along(model: str, weight: float) -> dict[str, Node]:
    inputs = {"model": model, "plan": "@plan.plan", "flow": "@flow.flow", "weight": weight}
    return {"along": Node("PatchVSR_FlowPropagation", inputs)}


def _attention(model: str, **widgets: Any) -> dict[str, Node]:
    return {"attention": Node("PatchVSR_AttentionPropagation", {"model": model, **widgets})}


def _guidance(model: str, softening: float) -> dict[str, Node]:
    inputs = {"model": model, "softening_start": 1.0, "softening_end": softening, "rescale": 0.2}
    return {"guidance": Node("PatchVSR_DetailGuidance", inputs)}


def _report() -> dict[str, Node]:
    inputs = {"image": "@refine.IMAGE", "source": "@parts.images", "plan": "@plan.plan"}
    return {
        "report": Node("PatchVSR_QualityReport", inputs),
        "words": Node("PreviewAny", {"source": "@report.report"}, title="The report", size=(420, 300)),
        "heat": Node("PreviewImage", {"images": "@report.heat_map"}, title="Where it flickers", size=(420, 260)),
    }


def _conditional(detail: float) -> dict[str, Node]:
    inputs = {"decoded": "@blend.IMAGE", "source": "@parts.images", "detail": detail}
    return {"refine": Node("PatchVSR_ConditionalRefiner", inputs)}


def _with(node: Node, **inputs: Any) -> Node:
    return replace(node, inputs={**node.inputs, **inputs})


def _note(text: str, height: int) -> dict[str, Node]:
    return {"note": Node("MarkdownNote", {"": text}, title="Read me", size=(300, height))}


TINY_LOAD = Group("Load", LOAD, [["note", "video", "parts", "tiny"]])
WAN_LOAD = Group("Load", LOAD, [["note", "video", "parts"], ["base", "vae", "clip", "positive", "negative"]])
PLAN_GROUP = Group("Plan & encode", PLAN, [["plan", "preview"], ["encode"]])
SAMPLE_GROUP = Group("Sample", SAMPLE, [["guider", "noise", "solver", "sigmas"], ["sample"]])
FINISH_GROUP = Group("Decode & finish", FINISH, [["decode", "blend", "refine"], ["join", "save"]])
REPORT_GROUP = replace(FINISH_GROUP, columns=[*FINISH_GROUP.columns, ["report", "words", "heat"]])

UAV = Example(
    name="patchvsr_upscale_a_video",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a04",
    nodes={
        **TINY.nodes,
        **_note(UAV_NOTE, 300),
        "enlarge": Node(
            "ImageScale",
            {
                "image": "@parts.images",
                "upscale_method": "bicubic",
                "width": "@plan.width",
                "height": "@plan.height",
                "crop": "disabled",
            },
            title="Enlarge for the motion",
        ),
        **_flow("@enlarge.IMAGE"),
        **_along("@tiny.MODEL", 0.25),
        "apply": _with(TINY.nodes["apply"], model="@along.MODEL"),
        **_conditional(0.5),
        **_report(),
    },
    groups=[
        TINY_LOAD,
        Group("Plan & encode", PLAN, [["plan", "preview"], ["encode", "context"]]),
        Group("Motion", LOAD, [["enlarge", "flow"]]),
        Group("Model", MODEL, [["along", "apply", "merge"]]),
        SAMPLE_GROUP,
        REPORT_GROUP,
    ],
)

DCVSR = Example(
    name="patchvsr_dc_vsr",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a05",
    nodes={
        **WAN21.nodes,
        **_note(DCVSR_NOTE, 300),
        **_attention("@shift.MODEL"),
        **_guidance("@attention.MODEL", 1.5),
        "apply": _with(WAN21.nodes["apply"], model="@guidance.MODEL"),
        "guider": _with(WAN21.nodes["guider"], cfg=3.0),
    },
    groups=[
        WAN_LOAD,
        PLAN_GROUP,
        Group("Model", MODEL, [["shift", "attention", "guidance"], ["apply", "merge"]]),
        SAMPLE_GROUP,
        FINISH_GROUP,
    ],
)

STAR = Example(
    name="patchvsr_star",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a06",
    nodes={
        **WAN21.nodes,
        **_note(STAR_NOTE, 280),
        **_guidance("@shift.MODEL", 1.0),
        "apply": _with(WAN21.nodes["apply"], model="@guidance.MODEL", churn=0.0),
        "guider": _with(WAN21.nodes["guider"], cfg=7.5),
        "sigmas": Node("PatchVSR_StarSchedule", {"start": 0.5}),
    },
    groups=[
        WAN_LOAD,
        PLAN_GROUP,
        Group("Model", MODEL, [["shift", "guidance", "apply", "merge"]]),
        SAMPLE_GROUP,
        FINISH_GROUP,
    ],
)

EVERYTHING = Example(
    name="patchvsr_everything",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a07",
    nodes={
        **WAN21.nodes,
        **_note(EVERYTHING_NOTE, 220),
        **_flow("@parts.images"),
        **_along("@shift.MODEL", 0.5),
        **_attention("@along.MODEL", lazy=True),
        **_guidance("@attention.MODEL", 1.5),
        "apply": _with(WAN21.nodes["apply"], model="@guidance.MODEL", churn=0.0),
        "guider": _with(WAN21.nodes["guider"], cfg=3.0),
        "sigmas": Node("PatchVSR_StarSchedule", {"start": 0.4}),
        **_conditional(0.5),
        **_report(),
    },
    groups=[
        WAN_LOAD,
        Group("Plan & encode", PLAN, [["plan", "preview"], ["encode", "flow"]]),
        Group("Model", MODEL, [["shift", "along", "attention"], ["guidance", "apply", "merge"]]),
        SAMPLE_GROUP,
        REPORT_GROUP,
    ],
)

PREVIEW = Example(
    name="patchvsr_preview",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a08",
    nodes={
        **TINY.nodes,
        "note": Node("MarkdownNote", {"": PREVIEW_NOTE}, title="Read me", size=(270, 250)),
        "fast": Node("PatchVSR_DAPUpscale", {"image": "@parts.images"}),
        "join fast": Node("CreateVideo", {"images": "@fast.IMAGE", "fps": "@parts.fps", "audio": "@parts.audio"}),
        "save fast": Node(
            "SaveVideo", {"video": "@join fast.VIDEO", "filename_prefix": "video/PatchVSR_preview"}, size=(360, 380)
        ),
        "refine": Node(
            "PatchVSR_RefineFidelity",
            {"image": "@blend.IMAGE", "source": "@parts.images", "base_layer": "@fast.IMAGE"},
        ),
    },
    groups=[
        TINY.groups[0],
        Group("Preview", SAMPLE, [["fast", "join fast", "save fast"]]),
        *TINY.groups[1:],
    ],
)

RENDER = Example(
    name="patchvsr_render",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a09",
    nodes={
        "note": Node("MarkdownNote", {"": RENDER_NOTE}, title="Read me", size=(270, 270)),
        "load": Node("PatchVSR_LoadRenderPasses", {"path": "patchvsr_render"}),
        "show image": Node("PreviewImage", {"images": "@load.image"}, title="The frames", size=(300, 260)),
        "show normal": Node("PreviewImage", {"images": "@load.normal"}, title="Normals", size=(300, 260)),
        "show albedo": Node("PreviewImage", {"images": "@load.albedo"}, title="Materials", size=(300, 260)),
        "fast": Node(
            "PatchVSR_RDGUpscale",
            {
                "image": "@load.image",
                "flow": "@load.flow",
                "depth": "@load.depth",
                "normal": "@load.normal",
                "albedo": "@load.albedo",
            },
        ),
        "join": Node("CreateVideo", {"images": "@fast.IMAGE", "fps": 24.0}),
        "save": Node(
            "SaveVideo", {"video": "@join.VIDEO", "filename_prefix": "video/PatchVSR_render"}, size=(420, 380)
        ),
    },
    groups=[
        Group("Load", LOAD, [["note", "load"]]),
        Group("What the renderer knows", PLAN, [["show image", "show normal", "show albedo"]]),
        Group("Upscale", SAMPLE, [["fast"], ["join", "save"]]),
    ],
)

EXAMPLES = (TINY, WAN21, VIDEO, UAV, DCVSR, STAR, EVERYTHING, PREVIEW, RENDER)

FILES = {
    "LoadVideo": {"file": CLIP},
    "UNETLoader": {"unet_name": "wan2.1_t2v_1.3B_fp16.safetensors"},
    "VAELoader": {"vae_name": "wan_2.1_vae.safetensors"},
    "CLIPLoader": {"clip_name": "umt5_xxl_fp8_e4m3fn_scaled.safetensors"},
}
"""Files that the examples name; a user has them, a test machine need not."""
