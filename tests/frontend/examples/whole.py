"""Examples of few nodes: the whole pipeline behind one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .declarations import FINISH, LOAD, Example, Group, Node, Pack
from .parts import CLIP, MODEL_GROUP, PLAN_AND_CONTEXT, SAMPLE_GROUP, clip, note, saving
from .tiny import STAGES

SIMPLE_NOTE = """
## Upscale

The whole pipeline behind seven widgets; open it with the arrow at its corner. You find it in the node library, under \
*Subgraph Blueprints, PatchVSR*, and in the search (double click) as *Upscale*; the same for a video with its sound is \
*Video Upscale (PatchVSR Super Resolution)*.

- **scale**: upscale factor; or choose a size by name as **target**
- **detail**: 0 is the most probable image, 1 one as crisp as the original may have been; 0.5 for viewing
- **cleanup** (restore strength): how much of the measured noise and compression is removed; 0 keeps everything, film \
grain included
- **fidelity**: 1 matches the input when downscaled; less keeps more of what the model added
- **patch_px**: smaller needs less memory
- **seed**: seed of the noise; the tiny default hardly depends on it

**Cost**: about 6 s per 1920x1080 frame on two CPU cores, no GPU needed, nothing to download.
"""
LONG_NOTE = """
## Long videos in 4K

One node reads, upscales and writes the file chunk by chunk. Audio, subtitles, timing and transparency are kept.

**Size**: choose *4K* as *target* for your own clip; the node shows what comes out. Start from 960 pixels or more: \
the small sample, 240 pixels wide, is made 4 times as large.

**Quality**: *fast* shows the whole film soon, *best* denoises patches too.

**Memory** does not grow with the video: about 6 GB for 4K. To use less, set *chunk_frames* to 8.

**Disk**: finished chunks are kept next to the result in a folder *.NAME.patchvsr* until all are done. Leave room for \
twice the result.

**Resume**: cancelled, crashed or out of memory? Queue it again with nothing changed, and it resumes where it \
stopped. Choose *start again* if you changed settings.

**Cost**: about 8 s per frame on two CPU cores: try two seconds of your clip first. Nothing to download. The result \
is in ComfyUI's *output/video*.
"""
INSIDE = ("tiny", "plan", "encode", "context", "apply", "merge")
INSIDE += ("guider", "noise", "solver", "sigmas", "sample", "decode", "blend", "refine")


def stages(*names: str) -> dict[str, Node]:
    """Nodes of the stage graph, without links from those that are not among them."""

    def is_kept(value: Any) -> bool:
        return not str(value).startswith("@") or value[1:].split(".")[0] in names

    return {
        name: replace(node, inputs={key: value for key, value in node.inputs.items() if is_kept(value)})
        for name, node in STAGES.items()
        if name in names
    }


UPSCALE = Pack(
    title="Upscale",
    category="PatchVSR",
    description="Upscales frames with the model that ships with PatchVSR: nothing to download, no GPU needed.",
    nodes=stages(*INSIDE),
    groups=[
        Group("Load", LOAD, [["tiny"]]),
        Group(PLAN_AND_CONTEXT.title, PLAN_AND_CONTEXT.color, [["plan"], ["encode", "context"]]),
        MODEL_GROUP,
        SAMPLE_GROUP,
        Group("Decode & finish", FINISH, [["decode", "blend", "refine"]]),
    ],
    inputs={"image": ["plan.image", "refine.source"]},
    outputs={"IMAGE": "refine.IMAGE"},
    widgets={
        "scale": "plan.scale",
        "detail": "refine.detail",
        "cleanup": "refine.cleanup",
        "fidelity": "refine.fidelity",
        "patch_px": "plan.patch_px",
        "seed": "noise.noise_seed",
        "target": "plan.target",
    },
)
UPSCALE_CLIP = replace(
    UPSCALE,
    title="Video Upscale (PatchVSR Super Resolution)",
    description="Upscales a clip and keeps its sound, with the model that ships with PatchVSR. All frames are in "
    "memory; the node Upscale Video takes files of any length.",
    nodes=stages("parts", *INSIDE, "join"),
    groups=[
        Group("Load", LOAD, [["parts", "tiny"]]),
        *UPSCALE.groups[1:-1],
        Group("Decode & finish", FINISH, [["decode", "blend", "refine"], ["join"]]),
    ],
    inputs={"video": ["parts.video"]},
    outputs={"VIDEO": "join.VIDEO"},
)
BLUEPRINTS = tuple(
    Example(
        name=pack.title,
        id=f"7b1f0c52-6a54-4f0e-9d38-2f6d1f3{digit}9a01",
        nodes={"upscale": Node(pack.title, {}, size=(300, 0))},
        groups=[Group("Upscale", FINISH, [["upscale"]])],
        pack=pack,
    )
    for pack, digit in ((UPSCALE, "d"), (UPSCALE_CLIP, "e"))
)
"""What the node library offers as one node, each in a graph of its own."""

SIMPLE = Example(
    name="patchvsr_simple",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a13",
    nodes={
        **note(SIMPLE_NOTE),
        **clip(),
        "upscale": Node(UPSCALE.title, {"image": "@parts.images"}, size=(300, 0)),
        **saving("@upscale.IMAGE"),
    },
    groups=[
        Group("Load", LOAD, [["note"], ["video", "parts"]]),
        Group("Upscale", FINISH, [["upscale"], ["join", "save"]]),
    ],
    pack=UPSCALE,
)

LONG_4K = Example(
    name="patchvsr_long_4k",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a03",
    nodes={
        **note(LONG_NOTE),
        "video": Node("LoadVideo", {"file": CLIP}, size=(300, 300)),
        "upscale": Node(
            "PatchVSR_UpscaleVideo",
            {"video": "@video.VIDEO", "filename_prefix": "video/PatchVSR_4k"},
            size=(420, 640),
        ),
    },
    groups=[
        Group("Load", LOAD, [["note"], ["video"]]),
        Group("Upscale", FINISH, [["upscale"]]),
    ],
)
