"""Tiles to frames: a normalised, separable cross-fade, without a canvas of weights."""

from __future__ import annotations

from torch import Tensor

from .decode import Tiles
from .planner import crossfade


def blend_tiles(tiles: Tiles, *, window: str = "linear") -> Tensor:
    """Blend decoded tiles into frames of exactly the target size.

    Args:
        window: shape of the fade across an overlap, ``linear`` or ``cosine``.

    Returns:
        (T, H, W, 3) float32, nominally in [0, 1]; the frames that the tiles have.
    """
    height, width = tiles.pixels[0].shape[1:3]
    padded_height, padded_width = tiles.canvas.padded_px
    rows = crossfade(padded_height, height, tiles.starts[0], window)
    columns = crossfade(padded_width, width, tiles.starts[1], window)
    target_height, target_width = tiles.canvas.target
    frames = tiles.pixels[0].new_zeros((len(tiles.pixels[0]), target_height, target_width, 3)).float()
    pixels = iter(tiles.pixels)
    for row in rows:
        for column in columns:
            tile = next(pixels)
            region = frames[:, row.cells, column.cells]
            visible_height, visible_width = region.shape[1:3]
            across = tile * column.weights(like=frames)[:, None]
            region += (across * row.weights(like=frames)[:, None, None])[:, :visible_height, :visible_width]
    return frames
