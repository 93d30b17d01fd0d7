"""Makes the pictures of the help pages from the sample clip and the sample render, with the pack's own code.

    python tools/make_help_pictures.py

Takes two minutes on a CPU. Needs OpenEXR for the render. ``make_node_pictures.py`` makes those that show nodes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from help_pictures import choices, over_time, patches, results
from help_pictures.drawing import save

PICTURES: dict[str, Callable[[], np.ndarray]] = {
    "PatchVSR_PatchPlanner/layouts": patches.layouts,
    "PatchVSR_SplitPatches/patches": patches.split,
    "PatchVSR_JoinPatches/joined": patches.join,
    "PatchVSR_PatchEncoder/told": patches.encoder,
    "PatchVSR_GlobalContextEncoder/context": patches.context,
    "PatchVSR_JointModulationMerger/fused": patches.merger,
    "PatchVSR_PatchDecoder/tiles": patches.tiles,
    "PatchVSR_Blender/fade": patches.blender,
    "PatchVSR_ApplyPatchVSR/strength_map": choices.strength_map,
    "PatchVSR_DetailGuidance/softness": choices.softness,
    "PatchVSR_StarSchedule/levels": choices.noise_levels,
    "PatchVSR_FlowPropagation/change": over_time.change_along_motion,
    "PatchVSR_AttentionPropagation/looks": over_time.attention,
    "PatchVSR_UpscaleVideo/chunks": over_time.chunks,
    "PatchVSR_OpticalFlow/flow": results.flow,
    "PatchVSR_RefineFidelity/detail": results.detail,
    "PatchVSR_ConditionalRefiner/conditional": results.conditional,
    "PatchVSR_DAPUpscale/dap": results.dap,
    "PatchVSR_PatchPreview/patch": results.patch_preview,
    "PatchVSR_Compare/split": results.split,
    "PatchVSR_Compare/crops": results.crop_table,
    "PatchVSR_QualityReport/heat": results.heat,
    "PatchVSR_LoadRenderPasses/passes": results.render_passes,
    "PatchVSR_RDGUpscale/rdg": results.rdg,
}
"""By their paths under ``web/docs``, without the suffix."""


def main() -> None:
    """Make all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description="Make the pictures of the help pages.")
    parser.add_argument("names", nargs="*", default=list(PICTURES), help="such as PatchVSR_OpticalFlow/flow")
    torch.set_grad_enabled(False)
    for name in parser.parse_args().names:
        save(name, PICTURES[name]())


if __name__ == "__main__":
    main()
