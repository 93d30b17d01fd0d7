"""The five stages of the shipped model, each as a node of its own, and the example that shows them in five boxes."""

from __future__ import annotations

from dataclasses import replace

from .declarations import FINISH, LOAD, MODEL, PLAN, SAMPLE, Example, Group, Node, Place
from .parts import changed, clip, finishing, note, plan, sampling, saving, without

TINY_NOTE = """
## PatchVSR: the tiny default

The model ships with PatchVSR: nothing to download, no GPU needed. Every stage is a node of its own, so you can look \
inside and put your own nodes in between. Folded nodes open with the mark at their left.

1. **Load Video**: open it and choose a short clip.
2. **Patch Planner**: set the scale, or choose a size as *target*. It shows the patches.
3. **Refine & Fidelity**: *detail* 0.5 for viewing, 0 for compositing; *Restore strength* 0 keeps film grain.
4. Run.

**Cost**: about 6 s per 1920x1080 frame on two CPU cores. All frames are in memory; for long clips open the \
template *Upscale a video*.
"""

STAGES = {
    **note(TINY_NOTE),
    **clip(),
    "tiny": Node("PatchVSR_LoadTinyDefault", {}, "Built-in Model"),
    "plan": plan("@tiny.VAE")["plan"],
    "encode": Node("PatchVSR_PatchEncoder", {"plan": "@plan.plan"}),
    "context": Node("PatchVSR_GlobalContextEncoder", {"adapter": "@tiny.adapter", "plan": "@plan.plan"}),
    "apply": Node(
        "PatchVSR_ApplyPatchVSR",
        {
            "model": "@tiny.MODEL",
            "patch_cond": "@encode.patch_cond",
            "adapter": "@tiny.adapter",
            "global_context": "@context.global_context",
        },
    ),
    "merge": Node("PatchVSR_JointModulationMerger", {"model": "@apply.MODEL"}, "Joint-Modulation Merger"),
    "guider": Node("BasicGuider", {"model": "@merge.MODEL", "conditioning": "@tiny.prompt"}),
    **sampling(steps=1, denoise=1.0),
    "sample": without(sampling(steps=1, denoise=1.0)["sample"], "plan"),
    "decode": Node("PatchVSR_PatchDecoder", {"latent": "@sample.LATENT"}),
    "blend": Node("PatchVSR_Blender", {"tiles": "@decode.tiles", "window": "linear", "color_fix": "none"}),
    "refine": changed(finishing("", "none", refine_strength=1.0, rounds=8)["refine"]),
    **saving(),
}
"""Plan, latent and model bring along what the nodes after them need."""

FOLDED = 225
"""How wide a folded node is in Nodes 2.0; in the other renderer it is less."""
LANES, LANE, BOX = 251, 265, 259
"""Left edge of the first numbered box, from one to the next, and the width of each."""


def edge(lane: int) -> int:
    """Left edge of a numbered box."""
    return LANES + LANE * (lane - 1)


def box(lane: int) -> tuple[int, int, int, int]:
    """(x, y, width, height)."""
    return (edge(lane), 0, BOX, 785)


def place(lane: int, y: int) -> Place:
    """Of a node in a numbered box."""
    return Place(edge(lane) + 12, y)


def folded(lane: int, y: int) -> Place:
    """Of a folded node in a numbered box."""
    return Place(edge(lane) + 17, y, FOLDED, folded=True)


def way(lane: int, y: int, start: int = LANES + 6) -> list[tuple[int, int]]:
    """Along a height, to just before a numbered box."""
    return [(start, y), (edge(lane) - 3, y)]


TINY = Example(
    name="patchvsr_tiny",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a01",
    nodes={
        **STAGES,
        "parts": replace(STAGES["parts"], title="Frames & Sound"),
        "join": replace(STAGES["join"], title="Join"),
        "refine": replace(STAGES["refine"], title="Refine & Fidelity"),
    },
    groups=[
        Group("Load", LOAD, [], (0, 0, 245, 785)),
        Group("Read me", LOAD, [], (0, 865, 950, 320)),
        Group("1 Plan patches", PLAN, [], box(1)),
        Group("2 Encode, add context", PLAN, [], box(2)),
        Group("3 Joint modulation", MODEL, [], box(3)),
        Group("4 Denoise", SAMPLE, [], box(4)),
        Group("5 Blend & finish", FINISH, [], box(5)),
        Group("Save", FINISH, [], (edge(5), 865, BOX, 140)),
    ],
    places={
        "tiny": Place(10, 155, FOLDED, folded=True),
        "video": Place(10, 430, FOLDED, folded=True),
        "parts": Place(10, 490, FOLDED, folded=True),
        "plan": place(1, 155),
        "context": place(2, 155),
        "encode": place(2, 330),
        "apply": place(3, 155),
        "merge": place(3, 500),
        "noise": folded(4, 155),
        "guider": folded(4, 200),
        "solver": folded(4, 245),
        "sigmas": folded(4, 290),
        "sample": place(4, 365),
        "decode": place(5, 155),
        "blend": place(5, 340),
        "refine": place(5, 505),
        "join": folded(5, 925),
        "save": folded(5, 970),
        "note": Place(15, 945, 920),
    },
    ways={
        "context.adapter": way(2, 60),
        "apply.model": way(3, 78),
        "apply.adapter": way(3, 96),
        "guider.conditioning": way(4, 114),
        "sample.latent": way(4, 740, start=edge(3) - 3),
        "refine.source": way(5, 805),
        "join.audio": way(5, 823),
        "join.fps": way(5, 841),
    },
)
