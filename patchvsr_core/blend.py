"""Tiles to frames: a normalised, separable cross-fade, without a canvas of weights."""

from __future__ import annotations

import torch
from torch import Tensor

from .decode import Tiles
from .kernels import Axis, Lattice, gather_blend
from .plan.planner import crossfade


def blend_tiles(tiles: Tiles, *, window: str = "linear", dtype: torch.dtype = torch.float32) -> Tensor:
    """Blend decoded tiles into frames of exactly the target size.

    Args:
        window: shape of the fade across an overlap, ``linear`` or ``cosine``.
        dtype: of the frames; uint8 for round(255 clamp(x, 0, 1)).

    Returns:
        (T, H, W, 3), nominally in [0, 1]; the frames that the tiles have.
    """
    height, width = tiles.pixels[0].shape[1:3]
    padded_height, padded_width = tiles.canvas.padded_px
    rows = crossfade(padded_height, height, tiles.starts[0], window)
    columns = crossfade(padded_width, width, tiles.starts[1], window)
    count = len(tiles.pixels[0])
    lattice = Lattice(Axis.whole(count), Axis.of(rows), Axis.of(columns))
    return gather_blend(tiles.pixels, lattice, (count, *tiles.canvas.target), dtype)
