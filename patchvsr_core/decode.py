"""From the fused latent canvas back to pixel tiles, on a grid of its own."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .codec import Codec, check_codec
from .errors import PlanError
from .layout import Canvas
from .planner import plan_tiles
from .progress import OnDone


@dataclass(frozen=True, eq=False)
class Tiles:
    """Decoded tiles and where they lie."""

    canvas: Canvas
    starts: tuple[list[int], list[int]]
    """First pixel row of every tile row, first pixel column of every tile column."""
    pixels: tuple[Tensor, ...]
    """(T, h, w, 3) per tile, row by row, nominally in [0, 1]; padded frames are cut off."""


def decode_tiles(
    codec: Codec,
    latent: Tensor,
    canvas: Canvas,
    *,
    tile_px: int = 512,
    overlap_px: int = 64,
    on_tile: OnDone | None = None,
) -> Tiles:
    """Decode the canvas tile by tile.

    The grid does not follow the patches: after fusion the latent is one whole, and fewer,
    larger tiles with a small overlap take a fraction of the time (17 % at 4K and 4 steps).

    Args:
        latent: (1, C, t, h, w) latent on the padded canvas.

    Raises:
        PlanError: when the latent is not the one that the plan describes.
    """
    if tuple(latent.shape[2:]) != canvas.latent_shape:
        raise PlanError(
            f"The latent has size {tuple(latent.shape[2:])} (T, H, W) but the plan's canvas is "
            f"{canvas.latent_shape}; connect the latent that was sampled with this plan."
        )
    check_codec(codec, canvas)
    if latent.shape[1] != codec.channels:
        raise PlanError(
            f"The latent has {latent.shape[1]} channels but the VAE decodes {codec.channels}; "
            "connect the VAE that encoded it."
        )
    grid = plan_tiles(canvas, tile_px, overlap_px)
    pixels = []
    for done, (row, column) in enumerate(grid, start=1):
        tile = codec.decode(latent[..., row.cells, column.cells])
        pixels.append(tile[: canvas.frames])
        if on_tile:
            on_tile(done, len(grid))
    rows, columns = ([span.start * canvas.stride_px for span in spans] for spans in (grid.rows, grid.columns))
    return Tiles(canvas, (rows, columns), tuple(pixels))
