"""One place of a plan for a few frames: a look at the final quality, without the rest of the run."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import PlanError
from ..plan.canvas import Canvas, Patch, PatchPlan, Span, overlap
from ..plan.planner import crossfade, plan_tiles
from ..plan.positions import Position, list_positions, patches_at
from ..vae.codec import Codec, check_codec

Origins = frozenset[tuple[int, int, int]]
Region = tuple[slice, slice]
"""Rows and columns of the frame, pixels."""


@dataclass(frozen=True, eq=False)
class PreviewRegion:
    """What runs, and what of it is looked at."""

    position: Position
    frames: range
    """Of the clip."""
    origins: Origins
    """Of the patches that run."""

    @property
    def region(self) -> Region:
        return self.position.rows, self.position.columns

    def with_margin(self, reach_frames: int, length: int) -> range:
        """The frames that a network needs to see which looks so far before and after, of a clip so long."""
        return range(max(self.frames.start - reach_frames, 0), min(self.frames.stop + reach_frames, length))


def select_region(
    plan: PatchPlan, number: int, first_frame: int, frames: int, *, reach_frames: int = 0, neighbours: bool = False
) -> PreviewRegion:
    """Choose what has to run for a look at one place.

    Args:
        number: of the place, see :func:`plan.positions.list_positions`.
        first_frame: counted from 0.
        frames: how many; fewer where the clip ends.
        reach_frames: how far what comes after the model looks before and after them.
        neighbours: also run the patches that overlap with the place, so that its fused borders are what they will
            be; layouts that take turns always do.

    Raises:
        PlanError: for a place or a frame that there is not.
    """
    length = plan.canvas.frames
    if not 0 <= first_frame < length:
        raise PlanError(
            f"The clip has {length} frames, there is none {first_frame}; choose one from 0 to {length - 1}."
        )
    chosen = patches_at(plan, number)
    shown = range(first_frame, min(first_frame + frames, length))
    focus = PreviewRegion(list_positions(plan)[number - 1], shown, Origins())
    needed = focus.with_margin(reach_frames, length)
    patches = _overlapping(plan, chosen[0]) if neighbours or plan.phases > 1 else chosen
    running = Origins(patch.origin for patch in patches if _is_active_in(patch, needed, plan.canvas))
    return PreviewRegion(focus.position, shown, running)


def most_detailed_position(plan: PatchPlan, frame: Tensor) -> int:
    """The number of the primary place with the most detail in it.

    Args:
        frame: (h, w, 3) of the input.
    """
    canvas = plan.canvas
    scales = [source / target for source, target in zip(canvas.source, canvas.target, strict=True)]

    def detail(position: Position) -> float:
        top, left = int(position.y * scales[0]), int(position.x * scales[1])
        bottom, right = (
            max(top + 1, int((position.y + position.height) * scales[0])),
            max(left + 1, int((position.x + position.width) * scales[1])),
        )
        part = frame[top:bottom, left:right].float().mean(-1)
        changes = [part.diff(dim=axis).abs().sum() for axis in (0, 1)]
        return float(sum(changes))

    return max((position for position in list_positions(plan) if position.kind == "primary"), key=detail).number


class RegionOnly:
    """Lets every patch rest but those in focus, which share the cells that they cover among themselves.

    What they do not cover stays the enlarged input.

    Args:
        upsampled: (1, C, t, h, w) latent of the enlarged input per condition.
    """

    def __init__(self, origins: Origins, upsampled: Sequence[Tensor]) -> None:
        self.origins, self.upsampled = origins, upsampled
        self._lit: Tensor | None = None

    def split(self, patches: Sequence[Patch], step: int) -> tuple[list[Patch], list[Patch]]:
        """The patches that run at a step, with weights that sum to 1 where they lie, and those that rest."""
        lit = [p for p in patches if p.origin in self.origins]
        over_time, over_space = _sum_weights(lit, self.upsampled[0])
        self._lit = (over_time > 0)[:, None, None] & (over_space > 0)
        shared = [
            replace(
                p,
                weight_t=_normalise_weights(p.weight_t, over_time[p.origin[0] : p.origin[0] + p.size[0]]),
                weight_yx=_normalise_weights(p.weight_yx, over_space[_cells(p)]),
            )
            for p in lit
        ]
        return shared, [p for p in patches if p.origin not in self.origins]

    def reuse(self, patches: Iterable[Patch], device: torch.device) -> list[Tensor]:
        """What the others add to the predictions of the whole canvas, (1, C, t, h, w) float32 per condition."""
        assert self._lit is not None, "first they are parted"
        dark = (~self._lit).to(device)
        return [canvas.to(device, torch.float32) * dark for canvas in self.upsampled]

    def store(self, fused: list[Tensor]) -> None:
        """Nothing is taken from step to step."""


def _sum_weights(patches: Sequence[Patch], canvas: Tensor) -> tuple[Tensor, Tensor]:
    """(t,) and (h, w) sums of weights over the distinct windows of time, and over the distinct places."""
    over_time, over_space = torch.zeros(canvas.shape[2]), torch.zeros(canvas.shape[3:])
    for p in {p.origin[0]: p for p in patches}.values():
        over_time[p.origin[0] : p.origin[0] + p.size[0]] += p.weight_t
    for p in {p.origin[1:]: p for p in patches}.values():
        over_space[_cells(p)] += p.weight_yx
    return over_time, over_space


def _cells(patch: Patch) -> Region:
    (y, x), (height, width) = patch.origin[1:], patch.size[1:]
    return slice(y, y + height), slice(x, x + width)


def _normalise_weights(weight: Tensor, total: Tensor) -> Tensor:
    return torch.where(total > 0, weight / total, 0.0)


def decode_region(
    codec: Codec, latent: Tensor, upsampled: Tensor, canvas: Canvas, region: Region, frames: range
) -> Tensor:
    """Decode what covers a region, on the grid of :func:`vae.decode.decode_tiles`; the rest is the enlarged input.

    Args:
        latent: (1, C, t, h, w) on the padded canvas.
        upsampled: (frames, H, W, 3) the input at the size of the result, in [0, 1]; not changed.
        frames: of the clip.

    Returns:
        (frames, H, W, 3) in [0, 1].
    """
    check_codec(codec, canvas)
    chosen = slice(frames.start, frames.stop)
    grid = plan_tiles(canvas)
    axes = [
        _intersecting(_in_pixels(spans, canvas.stride_px, length), part)
        for spans, length, part in zip((grid.rows, grid.columns), canvas.padded_px, region, strict=True)
    ]
    covered = [_sum_spans(spans, length) for spans, length in zip(axes, canvas.target, strict=True)]
    out = upsampled * (1 - torch.outer(*covered)[..., None].to(upsampled))
    stride = canvas.stride_px
    for row, column in itertools.product(*axes):
        rows, columns = (slice(span.start // stride, span.stop // stride) for span in (row, column))
        tile = codec.decode(latent[..., rows, columns])[chosen].to(out).clamp(0, 1)
        tile = tile * torch.outer(row.weights(tile), column.weights(tile))[..., None]
        part = out[:, row.start : row.stop, column.start : column.stop]
        part += tile[:, : part.shape[1], : part.shape[2]]
    return out


def _sum_spans(spans: Iterable[Span], length: int) -> Tensor:
    """(length,) sum of the weights of windows, cut off there."""
    total = torch.zeros(length)
    for span in spans:
        part = total[span.cells]
        part += torch.from_numpy(span.weight).float()[: len(part)]
    return total


def _in_pixels(spans: Sequence[Span], stride: int, length: int) -> list[Span]:
    return crossfade(length, len(spans[0].weight) * stride, [span.start * stride for span in spans])


def _intersecting(spans: Iterable[Span], part: slice) -> list[Span]:
    return [span for span in spans if overlap(span, part)]


def _overlapping(plan: PatchPlan, centre: Patch) -> list[Patch]:
    (y, x), (height, width) = centre.origin[1:], centre.size[1:]
    return [p for p in plan.patches if abs(p.origin[1] - y) < height and abs(p.origin[2] - x) < width]


def _is_active_in(patch: Patch, frames: range, canvas: Canvas) -> bool:
    """Whether a patch holds any of some frames of the clip."""
    start, count = patch.origin[0], patch.size[0]
    first = 0 if start == 0 else 1 + (start - 1) * canvas.stride_frames
    return first < frames.stop and frames.start < 1 + (start + count - 1) * canvas.stride_frames
