"""Normalised blending of equal tiles and patches that overlap: two operations, and what they mean in plain torch.

Sums are float32 whatever goes in and comes out. Weights are given, small, and sum to 1 in every cell, so that no canvas
of weights exists. Source of the weights: :mod:`plan.planner`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .ops import BLEND_INTO, GATHER_BLEND
from .placement import Lattice, Placement


def gather_blend(
    tiles: Sequence[Tensor], lattice: Lattice, size: tuple[int, int, int], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Blend a lattice of tiles into frames; what reaches beyond them is cut off, and what no tile reaches is 0.

    Args:
        tiles: (t, h, w, C) each, float32, float16 or bfloat16, of any strides; in the order of the lattice.
        lattice: where they lie; on their device if it is used more than once.
        size: (T, H, W) of the frames.
        dtype: of the result: a floating type, or uint8 for round(255 clamp(x, 0, 1)).

    Returns:
        (T, H, W, C), contiguous.

    Raises:
        ValueError: for tiles that do not fit the lattice, or types that are not offered.
    """
    lattice = lattice.on(tiles[0].device)
    axes = lattice.t, lattice.y, lattice.x
    starts, weights = [list(axis.starts) for axis in axes], [axis.weights for axis in axes]
    frames: Tensor = GATHER_BLEND(list(tiles), *starts, *weights, list(size), dtype)
    return frames


def blend_into(canvas: Tensor, patches: Tensor, placements: Sequence[Placement]) -> None:
    """Add weighted patches to a canvas, in place and in their order.

    Args:
        canvas: (C, T, H, W) float32, of any strides.
        patches: (N, C, t, h, w) float32, float16 or bfloat16, of any strides.
        placements: of every patch, see :func:`placement.placement_of`; on the device of the canvas.

    Raises:
        ValueError: for patches that do not lie on the canvas, or types that are not offered.
    """
    weights_t, weights_yx = ([getattr(p, name) for p in placements] for name in ("weight_t", "weight_yx"))
    origins = [start for placement in placements for start in placement.origin]
    BLEND_INTO(canvas, patches, weights_t, weights_yx, origins)
