"""The example for rendered footage."""

from __future__ import annotations

from .declarations import LOAD, PLAN, SAMPLE, Example, Group, Node
from .parts import note

RENDER_NOTE = """
## Rendered footage with its passes

**Load Render Passes** loads multi-layer EXR files from Blender or another renderer: image, motion, depth, normals, \
albedo. **RDG Upscale** uses all of them, frame by frame, without diffusion. Passes that your files lack are \
estimated: leave those sockets unconnected.

Needs *pip install OpenEXR* in ComfyUI's Python. Sample: copy *examples/render* of PatchVSR to *input/patchvsr_render*.

**Cost**: 0.2 s per 1920x1080 frame on two CPU cores, and about 200 MB of memory for each frame with all its passes. \
Nothing to download.
"""


def seen(output: str, title: str) -> Node:
    return Node("PreviewImage", {"images": f"@load.{output}"}, title=title, size=(300, 260))


RENDER = Example(
    name="patchvsr_render",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a09",
    nodes={
        **note(RENDER_NOTE),
        "load": Node("PatchVSR_LoadRenderPasses", {"path": "patchvsr_render"}),
        "show image": seen("image", "The frames"),
        "show normal": seen("normal", "Normals"),
        "show albedo": seen("albedo", "Materials"),
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
        Group("Render passes", PLAN, [["show image", "show normal", "show albedo"]]),
        Group("Upscale", SAMPLE, [["fast"], ["join", "save"]]),
    ],
)
