"""Runs a refiner over clips of any size and length; saves and loads refiner files."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..distributed import ProcessGroup, current_group, sharded
from ..errors import ModelError, phrase
from ..errors.finite import check_finite
from ..files import read_network, write_weights
from ..optical_flow.align import align_window, estimate_neighbour_flows
from ..plan.canvas import Canvas, Span, overlap
from ..plan.planner import plan_tiles
from ..progress import OnDone
from ..resample import reflect_index, upsample_window
from ..settings import Settings
from .conditional_refiner import ConditionalRefiner
from .refiner import FOLD, FOLDED, Refiner, RefinerConfig

__all__ = ["Refiner", "RefinerConfig", "load_refiner", "new_refiner", "refine_frames", "save_refiner", "working_bytes"]

FORMAT = "patchvsr-refiner"
TILE_PX = 512
CHUNK_FRAMES = 24
"""Frames that the network processes at once, not counting its temporal receptive field."""
TILE_PICTURES = 7
"""Of a tile that are in memory at once: decoded, upsampled, two neighbours, and all of them folded into channels."""
KINDS: dict[str, type[Refiner]] = {"plain": Refiner, "conditional": ConditionalRefiner}


def new_refiner(config: RefinerConfig) -> Refiner:
    """Create an untrained refiner of the configured kind.

    Raises:
        ModelError: for an unknown kind.
    """
    if config.kind not in KINDS:
        raise ModelError(f"Unknown kind of refiner {config.kind!r}; choose one of {', '.join(KINDS)}.")
    return KINDS[config.kind](config)


def working_bytes(refiner: Refiner, frames: int, size: tuple[int, int]) -> int:
    """Memory that a tile takes in :func:`refine_frames`: its pictures and the network's features, in a few copies."""
    length = min(frames, CHUNK_FRAMES + 2 * refiner.reach_frames)
    cells = math.prod(-(-min(side, max(TILE_PX, 4 * refiner.reach_px)) // FOLD) for side in size)
    return (TILE_PICTURES * FOLDED + refiner.live_copies * refiner.config.channels) * length * cells * 4


@torch.inference_mode()
def refine_frames(
    refiner: Refiner,
    frames: Tensor,
    source: Tensor,
    *,
    strength: float = 1.0,
    detail: float = Settings.detail,
    degradation: float = 0.0,
    tile_px: int = TILE_PX,
    chunk_frames: int = CHUNK_FRAMES,
    region: tuple[slice, slice] | None = None,
    on_frames: OnDone | None = None,
) -> Tensor:
    """Run the refiner over a whole clip in tiles and chunks, without seams.

    Only the current tile is moved to the refiner's device; the clips stay where they are.

    Args:
        frames: (T, H, W, 3) decoded frames in [0, 1]; not changed.
        source: (T, h, w, 3) input clip in [0, 1].
        strength: 0 (off) to 1.
        detail: 0 (most faithful) to 1 (crispest).
        degradation: level of the input, see :func:`degradation.estimate_degradation`; 0 for a clean one.
        region: (rows, columns) in pixels; tiles outside it are left unrefined.

    Returns:
        (T, H, W, 3) float32; this process's own frames.
    """
    group = current_group()
    canvas = Canvas(len(frames), _hw(source), _hw(frames), stride_px=FOLD)
    out = torch.zeros_like(frames, dtype=torch.float32)
    tile_px, chunk_frames = _choose_tiling(canvas, refiner, tile_px, chunk_frames, group)
    for number, first in enumerate(range(0, canvas.frames, chunk_frames)):
        last = min(first + chunk_frames, canvas.frames)
        low, high = max(first - refiner.reach_frames, 0), min(last + refiner.reach_frames, canvas.frames)
        part = Canvas(high - low, canvas.source, canvas.target, stride_px=FOLD)
        tiles = tuple(plan_tiles(part, tile_px, 2 * refiner.reach_px, "cut"))
        given = source[low:high].to(refiner.head.weight.device)
        flows = estimate_neighbour_flows(given)
        own_tiles = sharded(tiles, offset=number * len(tiles))
        refined = _refine_tiles(refiner, frames[low:high], given, flows, part, (detail, degradation), own_tiles, region)
        out[first:last] = refined[first - low : last - low]
        if on_frames:
            on_frames(last, canvas.frames)
    out = group.reduce_scatter(out)
    return out if strength == 1 else torch.lerp(group.local_frames(frames).float(), out, strength)


def _choose_tiling(
    canvas: Canvas, refiner: Refiner, tile_px: int, chunk_frames: int, group: ProcessGroup
) -> tuple[int, int]:
    """(tile side, chunk length), at most these, that minimise the work of the busiest process."""
    least = 4 * refiner.reach_px
    if group.size == 1:
        return max(tile_px, least), chunk_frames

    def busiest(cut: tuple[int, int]) -> int:
        row, column = next(iter(tiles := plan_tiles(canvas, cut[0], 2 * refiner.reach_px, "cut")))
        turns = -(-len(tiles) * -(-canvas.frames // cut[1]) // group.size)
        return turns * len(row.weight) * len(column.weight) * min(canvas.frames, cut[1] + 2 * refiner.reach_frames)

    fewest = -(-canvas.frames // chunk_frames)
    lengths = [-(-canvas.frames // count) for count in range(fewest, fewest + group.size)]
    return min(itertools.product(range(max(tile_px, least), least - 1, -2 * FOLD), lengths), key=busiest)


def _refine_tiles(
    refiner: Refiner,
    frames: Tensor,
    source: Tensor,
    flows: tuple[Tensor, Tensor],
    canvas: Canvas,
    controls: tuple[float, float],
    tiles: Iterable[tuple[Span, Span]],
    region: tuple[slice, slice] | None,
) -> Tensor:
    """Tiles overlap by twice the receptive field's radius and are cut in the middle: equal to one large tile."""
    weight = refiner.head.weight
    out = torch.zeros_like(frames, dtype=torch.float32)
    for row, column in tiles:
        down, across = row.scaled(FOLD), column.scaled(FOLD)
        rows, columns = down.cells, across.cells
        refined = _reflected_window(frames, rows, columns).to(out)
        if region is None or (overlap(rows, region[0]) and overlap(columns, region[1])):
            decoded = refined.movedim(-1, 1).to(weight)
            upsampled = upsample_window(source, canvas, rows, columns).movedim(-1, 1).to(weight)
            neighbours = align_window(source, flows, canvas, rows, columns).movedim(-1, 1).to(weight)
            refined = refiner(decoded, upsampled, neighbours, canvas.scale, *controls)
            refined = check_finite(refined, phrase("refiner"), refiner).to(out).movedim(1, -1)
        refined *= torch.outer(down.weights(out), across.weights(out))[..., None]
        place = out[:, rows, columns]
        place += refined[:, : place.shape[1], : place.shape[2]]
    return out


def _reflected_window(frames: Tensor, rows: slice, columns: slice) -> Tensor:
    """Crop a window; beyond the right and lower edge the frame is mirrored."""
    y, x = (
        torch.from_numpy(reflect_index(np.arange(span.start, span.stop), length)).to(frames.device)
        for span, length in ((rows, frames.shape[1]), (columns, frames.shape[2]))
    )
    return frames[:, y][:, :, x]


def save_refiner(refiner: Refiner, path: str | Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a refiner with its configuration."""
    write_weights(path, refiner, refiner.config, FORMAT, dtype)


def load_refiner(path: str | Path, dtype: torch.dtype = torch.float32) -> Refiner:
    """Read a refiner file.

    Raises:
        ModelError: when the file is missing, damaged or not a refiner.
    """
    refiner = read_network(Path(path), FORMAT, phrase("refiner"), RefinerConfig, new_refiner)
    return refiner.to(dtype).requires_grad_(False).eval()


def _hw(frames: Tensor) -> tuple[int, int]:
    return int(frames.shape[1]), int(frames.shape[2])
