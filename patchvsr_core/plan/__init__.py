"""Where the patches of a clip lie: the canvas, its patches and windows, the chunks of a long clip, target sizes.

It counts in pixels, latent cells and frames alone; no model is needed to make a plan.
"""

from .canvas import Canvas, Patch, PatchPlan, Span, TileGrid
from .planner import LAYOUTS, plan_patches, plan_tiles

__all__ = ["LAYOUTS", "Canvas", "Patch", "PatchPlan", "Span", "TileGrid", "plan_patches", "plan_tiles"]
