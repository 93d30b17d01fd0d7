"""Examples after papers, on Wan 2.1."""

from __future__ import annotations

from typing import Any

from .declarations import MODEL, PLAN, Example, Group, Node
from .parts import FINISH_GROUP, PLAN_GROUP, REPORT_GROUP, SAMPLE_GROUP, along, changed, flow, note, report
from .wan import FILES, WAN21, WAN_LOAD

DCVSR_NOTE = """
## DC-VSR in PatchVSR, on Wan 2.1

**Attention Propagation** lets patches attend to one another: SAP across the frame, TAP across time. **Detail \
Guidance** (DSSAG) steers guidance towards more detail, at no extra time. Patches overlap by half, in space and in \
time, and fade in Gaussians (*layout* gaussian).

**Cost**: SAP about doubles the time of its steps; *lazy* takes half of that back. With 30 blocks it stores about 7 \
GiB: choose fewer *layers*, or *offload*, if memory is short.
"""
STAR_NOTE = """
## STAR in PatchVSR, on Wan 2.1

Starts from the noised input at the noise level *start* of **STAR Schedule**, with a text prompt, guidance, and its \
rescale (0.2). A lower start keeps more of the clip.

STAR's local gates (LIEM) are part of an adapter: Load Adapter sets their strength, and PatchVSR's trainer trains \
them, with STAR's frequency loss.

**Cost**: patches in *The plan* x windows of 81 frames x 5 steps x 2 for guidance.
"""
EVERYTHING_NOTE = """
## Everything at once, on Wan 2.1

Prompt, guidance, STAR's noise levels, attention between patches, detail guidance, propagation along the motion and a \
report. Bypass (Ctrl+B) nodes to compare with and without them.

**Cost**: patches in *The plan* x windows of 81 frames x 4 steps x 2 for guidance; SAP half as much again.
"""


def attention(model: str, **widgets: Any) -> dict[str, Node]:
    return {"attention": Node("PatchVSR_AttentionPropagation", {"model": model, **widgets})}


def guidance(model: str, softening: float, rescale: float = 0.2) -> dict[str, Node]:
    inputs = {"model": model, "softening_start": 1.0, "softening_end": softening, "rescale": rescale}
    return {"guidance": Node("PatchVSR_DetailGuidance", inputs)}


DCVSR = Example(
    name="patchvsr_dc_vsr",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a05",
    nodes={
        **WAN21.nodes,
        **note(DCVSR_NOTE, FILES),
        **attention("@shift.MODEL"),
        **guidance("@attention.MODEL", 1.5, rescale=0.0),
        "plan": changed(WAN21.nodes["plan"], layout="gaussian", overlap_frames=41),
        "apply": changed(WAN21.nodes["apply"], model="@guidance.MODEL"),
        "guider": changed(WAN21.nodes["guider"], cfg=3.0),
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
        **note(STAR_NOTE, FILES),
        **guidance("@shift.MODEL", 1.0),
        "apply": changed(WAN21.nodes["apply"], model="@guidance.MODEL", churn=0.0),
        "guider": changed(WAN21.nodes["guider"], cfg=7.5),
        "sigmas": Node("PatchVSR_StarSchedule", {"start": 0.5}),
    },
    groups=[
        WAN_LOAD,
        PLAN_GROUP,
        Group("Model", MODEL, [["shift", "guidance"], ["apply", "merge"]]),
        SAMPLE_GROUP,
        FINISH_GROUP,
    ],
)

EVERYTHING = Example(
    name="patchvsr_everything",
    id="7b1f0c52-6a54-4f0e-9d38-2f6d1f3c9a07",
    nodes={
        **WAN21.nodes,
        **note(EVERYTHING_NOTE, FILES),
        **flow("@parts.images"),
        **along("@shift.MODEL", 0.5),
        **attention("@along.MODEL", lazy=True),
        **guidance("@attention.MODEL", 1.5),
        "apply": changed(WAN21.nodes["apply"], model="@guidance.MODEL", churn=0.0),
        "guider": changed(WAN21.nodes["guider"], cfg=3.0),
        "sigmas": Node("PatchVSR_StarSchedule", {"start": 0.4}),
        **report(),
    },
    groups=[
        WAN_LOAD,
        Group("Plan & encode", PLAN, [["plan", "preview"], ["encode", "flow"]]),
        Group("Model", MODEL, [["shift", "along", "attention"], ["guidance", "apply", "merge"]]),
        SAMPLE_GROUP,
        REPORT_GROUP,
    ],
)
