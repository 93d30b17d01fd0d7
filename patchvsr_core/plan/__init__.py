"""Planning: the canvas, its patches and temporal windows, the chunks of a long clip, target sizes.

Plans are made of pixels, latent cells and frames only; no model is needed to make one.
"""

from .canvas import Canvas, Patch, PatchPlan, Span, TileGrid
from .planner import LAYOUTS, plan_patches, plan_tiles

__all__ = ["LAYOUTS", "Canvas", "Patch", "PatchPlan", "Span", "TileGrid", "plan_patches", "plan_tiles"]
