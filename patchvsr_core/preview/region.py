"""Restricts a run to one patch position and a few frames, to preview the final quality quickly."""

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
"""(rows, columns) of the frame, in pixels."""


@dataclass(frozen=True, eq=False)
class PreviewRegion:
    """The position and frames to preview, and the patches that have to run for it."""

    position: Position
    frames: range
    """Frames of the clip to preview."""
    origins: Origins
    """Origins of the patches that run."""

    @property
    def region(self) -> Region:
        return self.position.rows, self.position.columns

    def with_margin(self, reach_frames: int, length: int) -> range:
        """The frames of a clip that a network with a temporal reach of ``reach_frames`` needs."""
        return range(max(self.frames.start - reach_frames, 0), min(self.frames.stop + reach_frames, length))


def select_region(
    plan: PatchPlan, number: int, first_frame: int, frames: int, *, reach_frames: int = 0, neighbours: bool = False
) -> PreviewRegion:
    """Select the patches that have to run for a preview of one position.

    Args:
        number: of the position, see :func:`plan.positions.list_positions`.
        first_frame: counted from 0.
        frames: number of frames; fewer at the end of the clip.
        reach_frames: temporal receptive field of the postprocessing, on either side.
        neighbours: also run the patches that overlap with it, so that its borders are fused as in a full run;
            alternating layouts always do.

    Raises:
        PlanError: when there is no such position or frame.
    """
    length = plan.canvas.frames
    if not 0 <= first_frame < length:
        raise PlanError(
            f"The clip has {length} frames, so there is no frame {first_frame}; choose one from 0 to {length - 1}."
        )
    chosen = patches_at(plan, number)
    shown = range(first_frame, min(first_frame + frames, length))
    focus = PreviewRegion(list_positions(plan)[number - 1], shown, Origins())
    needed = focus.with_margin(reach_frames, length)
    patches = _overlapping(plan, chosen[0]) if neighbours or plan.phases > 1 else chosen
    running = Origins(patch.origin for patch in patches if _is_active_in(patch, needed, plan.canvas))
    return PreviewRegion(focus.position, shown, running)


def most_detailed_position(plan: PatchPlan, frame: Tensor) -> int:
    """The number of the primary position with the most detail.

    Args:
        frame: (h, w, 3) frame of the input.
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
    """A skip policy that runs only some patches, with weights normalised among themselves.

    Cells that they do not cover keep the upsampled input.

    Args:
        origins: of the patches that run.
        upsampled: (1, C, t, h, w) latent of the upsampled input per condition.
    """

    def __init__(self, origins: Origins, upsampled: Sequence[Tensor]) -> None:
        self.origins, self.upsampled = origins, upsampled
        self._covered: Tensor | None = None

    def split(self, patches: Sequence[Patch], step: int) -> tuple[list[Patch], list[Patch]]:
        """The patches that run, with weights that sum to 1 in every cell that they cover, and the skipped ones."""
        running = [p for p in patches if p.origin in self.origins]
        over_time, over_space = _sum_weights(running, self.upsampled[0])
        self._covered = (over_time > 0)[:, None, None] & (over_space > 0)
        shared = [
            replace(
                p,
                weight_t=_normalise_weights(p.weight_t, over_time[p.origin[0] : p.origin[0] + p.size[0]]),
                weight_yx=_normalise_weights(p.weight_yx, over_space[_cells(p)]),
            )
            for p in running
        ]
        return shared, [p for p in patches if p.origin not in self.origins]

    def reuse(self, patches: Iterable[Patch], device: torch.device) -> list[Tensor]:
        """The contribution of the skipped patches: (1, C, t, h, w) float32 per condition, 0 in covered cells."""
        assert self._covered is not None, "split() comes first"
        uncovered = (~self._covered).to(device)
        return [canvas.to(device, torch.float32) * uncovered for canvas in self.upsampled]

    def store(self, fused: list[Tensor]) -> None:
        """Nothing is cached between steps."""


def _sum_weights(patches: Sequence[Patch], canvas: Tensor) -> tuple[Tensor, Tensor]:
    """(t,) and (h, w) sums of weights over the distinct temporal windows and the distinct positions."""
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
    """Decode what covers a region, on the grid of :func:`vae.decode.decode_tiles`; the rest is the upsampled input.

    Args:
        latent: (1, C, t, h, w) on the padded canvas.
        upsampled: (frames, H, W, 3) input upsampled to the output size, in [0, 1]; not changed.
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
    """(length,) sum of the weights of spans, cropped to the length."""
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
    """Whether a patch covers any of the given frames of the clip."""
    start, count = patch.origin[0], patch.size[0]
    first = 0 if start == 0 else 1 + (start - 1) * canvas.stride_frames
    return first < frames.stop and frames.start < 1 + (start + count - 1) * canvas.stride_frames
