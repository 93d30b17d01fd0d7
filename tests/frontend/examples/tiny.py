"""Examples of the model that ships: they run anywhere."""

from __future__ import annotations

from .declarations import FINISH, LOAD, MODEL, PLAN, SAMPLE, Example, Group, Node
from .five_stages import STAGES
from .parts import (
    FINISH_GROUP,
    MODEL_GROUP,
    PLAN_AND_CONTEXT,
    REPORT_GROUP,
    SAMPLE_GROUP,
    along,
    changed,
    compare,
    conditional,
    enlarged_flow,
    load_group,
    look,
    note,
    plan,
    report,
    saving,
)

PREVIEW_NOTE = """
## Look first, then run

1. **Patch Preview**: click a patch on the plan of Patch Planner, or leave *patch* at 0 for the one with the most \
detail. It restores only that patch, just as the full run will. Select the node and run only it (the play button \
above it).
2. **DAP Upscale** needs no diffusion, so its result is there many times sooner. Bypass (Ctrl+B) the nodes of the \
groups after it while you only preview.
3. The full run. The DAP frames go into **Refine & Fidelity** as *base_layer*: two estimates with different errors \
are better together. **Compare** puts input and result into one image.

**Cost** on two CPU cores: a patch of one frame about 10 s; at 1920x1080 the DAP preview 0.5 s per frame, the final \
result about 6 s. Nothing to download.
"""
AI_VIDEO_NOTE = """
## Clean up AI video

For clips from Wan, LTX, Hunyuan and others. 2x is enough for most: 832x480 becomes 1664x960.

**Skip the file if you can**: connect the IMAGE of your VAE Decode instead of Load Video. What video compression \
removed does not come back.

Starting points; judge them on two seconds at 1:1:

- **Wan**, soft but stable: *detail* 0.5 to 0.7, *weight* of Flow Propagation 0.25
- **LTX**, smeared or shimmering: *Restore strength* 1.2 to 1.5, *weight* 0.5, *detail* 0.3
- **Hunyuan**, intentional grain: *Restore strength* 0.5, *detail* 0.4
- waxy faces: lower *Restore strength*

*fidelity* is 0.7 here: there is no true original to match. **Quality Report** shows whether it flickers.

For new texture rather than cleaner texture open the template *Add detail with Wan 2.2*.

**Cost**: about 7 s per 1920x1080 frame on two CPU cores. Nothing to download.
"""
UAV_NOTE = """
## Upscale-A-Video in PatchVSR

**Optical Flow** estimates the motion, **Flow Propagation** blends every frame with its neighbours along it: less \
flicker. **Conditional Refiner** lets the input modulate the features of the result. **Quality Report** shows whether \
it helped.

The tiny default works on pixels, so the motion is estimated on the upscaled clip. For a Wan the clip itself is enough.

**Cost**: the motion adds 5 to 10 %, Conditional Refiner takes up to 1.4 times as long as Refine & Fidelity. Nothing \
to download.
"""
REWIRED_NOTE = """
## Rewired

Every stage is an ordinary node, so other wires make other pipelines:

- **Two samplers**: SplitSigmas splits the noise levels in half. Patch Sampler runs the first half with *euler*, \
core's SamplerCustomAdvanced the second with *heun*. Both work patch by patch, because that is built into the model.
- **A blender of your own**: Split into Patches makes a list; any image node then runs once per patch. Here it is \
Sharpen Image; try a colour or denoise node. Join Patches cross-fades them.
- **Exporting patches**: the first frame of each patch is saved to *output/PatchVSR_patches*. Without Get Image from \
Batch, every frame is saved.

The tiny default is made for one step; the four steps here show the wiring, which pays off with a Wan.

**Cost**: five times the sampling of the template *The five stages*. Nothing to download.
"""

WIRED = {
    **STAGES,
    **plan("@tiny.VAE"),
}
"""For graphs in columns: with a picture of the plan."""
TINY_LOAD = load_group(["tiny"])

PREVIEW = Example(
    name="patchvsr_preview",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a08",
    nodes={
        **WIRED,
        **note(PREVIEW_NOTE),
        "fast": Node("PatchVSR_DAPUpscale", {"image": "@parts.images"}),
        "join fast": Node("CreateVideo", {"images": "@fast.IMAGE", "fps": "@parts.fps", "audio": "@parts.audio"}),
        "save fast": Node(
            "SaveVideo", {"video": "@join fast.VIDEO", "filename_prefix": "video/PatchVSR_preview"}, size=(360, 380)
        ),
        "refine": changed(WIRED["refine"], base_layer="@fast.IMAGE"),
        **look(),
        **compare(),
    },
    groups=[
        TINY_LOAD,
        Group("Fast", SAMPLE, [["fast", "join fast", "save fast"]]),
        PLAN_AND_CONTEXT,
        MODEL_GROUP,
        Group("Look at one patch", PLAN, [["guider", "noise", "solver", "sigmas"], ["look"]]),
        Group("Sample", SAMPLE, [["sample"]]),
        Group(
            FINISH_GROUP.title,
            FINISH,
            [*FINISH_GROUP.columns, ["first in", "first out", "compare"], ["split", "crops"]],
        ),
    ],
)

MOTION_GROUP = Group("Motion", LOAD, [["enlarge", "flow"]])
MOVING_GROUP = Group("Model", MODEL, [["along", "apply", "merge"]])

AI_VIDEO = Example(
    name="patchvsr_ai_video",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a11",
    nodes={
        **WIRED,
        **note(AI_VIDEO_NOTE),
        "plan": changed(WIRED["plan"], scale=2.0),
        **enlarged_flow(),
        **along("@tiny.MODEL", 0.25),
        "apply": changed(WIRED["apply"], model="@along.MODEL"),
        "refine": changed(WIRED["refine"], fidelity=0.7),
        **saving(prefix="video/PatchVSR_ai_video"),
        **report(),
    },
    groups=[TINY_LOAD, PLAN_AND_CONTEXT, MOTION_GROUP, MOVING_GROUP, SAMPLE_GROUP, REPORT_GROUP],
)

UAV = Example(
    name="patchvsr_upscale_a_video",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a04",
    nodes={
        **WIRED,
        **note(UAV_NOTE),
        **enlarged_flow(),
        **along("@tiny.MODEL", 0.25),
        "apply": changed(WIRED["apply"], model="@along.MODEL"),
        **conditional(),
        **report(),
    },
    groups=[TINY_LOAD, PLAN_AND_CONTEXT, MOTION_GROUP, MOVING_GROUP, SAMPLE_GROUP, REPORT_GROUP],
)

REWIRED = Example(
    name="patchvsr_rewired",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a12",
    nodes={
        **WIRED,
        **note(REWIRED_NOTE),
        "sigmas": changed(WIRED["sigmas"], steps=4),
        "halves": Node("SplitSigmas", {"sigmas": "@sigmas.SIGMAS", "step": 2}),
        "sample": changed(WIRED["sample"], sigmas="@halves.high_sigmas"),
        "no noise": Node("DisableNoise", {}),
        "second solver": Node("KSamplerSelect", {"sampler_name": "heun"}),
        "second sample": Node(
            "SamplerCustomAdvanced",
            {
                "noise": "@no noise.NOISE",
                "guider": "@guider.GUIDER",
                "sampler": "@second solver.SAMPLER",
                "sigmas": "@halves.low_sigmas",
                "latent_image": "@sample.LATENT",
            },
        ),
        "decode": changed(WIRED["decode"], latent="@second sample.output"),
        "split": Node("PatchVSR_SplitPatches", {"image": "@refine.IMAGE", "plan": "@plan.plan"}),
        "sharpen": Node("ImageSharpen", {"image": "@split.patches", "alpha": 0.1}, title="Anything, patch by patch"),
        "together": Node(
            "PatchVSR_JoinPatches", {"patches": "@sharpen.IMAGE", "plan": "@plan.plan", "window": "cosine"}
        ),
        "first": Node("ImageFromBatch", {"image": "@split.patches"}, title="First frame of each patch"),
        "export": Node(
            "SaveImage", {"images": "@first.IMAGE", "filename_prefix": "PatchVSR_patches/patch"}, size=(300, 300)
        ),
        **saving("@together.IMAGE", "video/PatchVSR_rewired"),
    },
    groups=[
        TINY_LOAD,
        PLAN_AND_CONTEXT,
        MODEL_GROUP,
        Group("First half", SAMPLE, [["guider", "noise", "solver", "sigmas"], ["halves", "sample"]]),
        Group("Second half", SAMPLE, [["no noise", "second solver", "second sample"]]),
        Group("Decode & finish", FINISH, [["decode", "blend", "refine"]]),
        Group("Patch by patch", MODEL, [["split", "sharpen", "together"], ["first", "export"]]),
        Group("Save", LOAD, [["join", "save"]]),
    ],
)
