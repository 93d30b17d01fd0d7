"""Tiles to frames on a CPU: every cell is written once, in bands that stay in its cache.

The borders of all tiles cut the canvas into rectangles. Within one the same tiles count: where it is a single one with
weight 1, the rectangle is a copy; elsewhere the tiles are added up, band by band, with weights of one rectangle at
a time. Nothing as large as a frame exists beside tiles and result.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BAND = 2**19
"""Elements of a band at most: 2 MiB of float32."""
LEAST_BAND = 2**16
SHARE = 100
"""A band that needs memory of its own has one element for so many bytes of the result: 4 % of it."""
WHITE = 255


@dataclass(frozen=True)
class Window:
    """Of an axis, as far as it reaches into a segment."""

    number: int
    start: int
    """First cell of the segment, within the window."""
    weights: Tensor | None
    """In the cells of the segment; None where all are 1."""


@dataclass(frozen=True)
class Segment:
    """Cells of an axis in which the same windows count."""

    start: int
    stop: int
    windows: tuple[Window, ...]

    @property
    def length(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Part:
    """What one tile gives to a rectangle: both (T, H, W, C), or what is broadcast to it."""

    values: Tensor
    weight_t: Tensor | None
    weight_yx: Tensor | None

    def weight(self, t: int) -> Tensor | None:
        """In frame ``t`` of the rectangle, or in all where weights do not change with time; None for 1."""
        if self.weight_t is None:
            return self.weight_yx
        return self.weight_t[t] if self.weight_yx is None else self.weight_t[t] * self.weight_yx


def cut_axis(starts: Sequence[int], weights: Tensor, length: int) -> list[Segment]:
    """An axis of ``length`` cells cut where windows begin and end."""
    reach = weights.shape[1]
    edges = sorted({0, length, *(cut for start in starts for cut in (start, start + reach) if cut < length)})
    return [
        Segment(
            start,
            stop,
            tuple(
                Window(number, start - first, _none_if_ones(weights[number, start - first : stop - first]))
                for number, first in enumerate(starts)
                if first <= start < first + reach
            ),
        )
        for start, stop in itertools.pairwise(edges)
    ]


def blend_bands(
    tiles: Sequence[Tensor],
    starts: Sequence[Sequence[int]],
    weights: Sequence[Tensor],
    size: Sequence[int],
    dtype: torch.dtype,
) -> Tensor:
    """As :func:`blend.gather_blend`, of the same arguments as the operation; not differentiable."""
    channels = tiles[0].shape[3]
    out = torch.empty((*size, channels), dtype=dtype)
    band = BAND if dtype == torch.float32 else max(LEAST_BAND, min(BAND, out.nbytes // SHARE))
    sums = None if dtype == torch.float32 else torch.empty(max(band, size[2] * channels))
    for rectangle in itertools.product(*map(cut_axis, starts, weights, size)):
        t, y, x = (slice(axis.start, axis.stop) for axis in rectangle)
        _fill(out[t, y, x], _list_parts(tiles, rectangle, starts), sums, band)
    return out


def _list_parts(tiles: Sequence[Tensor], rectangle: Sequence[Segment], starts: Sequence[Sequence[int]]) -> list[Part]:
    """The tiles that count in a rectangle, in their order."""
    spans = [axis.length for axis in rectangle]
    parts = []
    for windows in itertools.product(*(axis.windows for axis in rectangle)):
        (i, j, k), (t, y, x) = ([w.number for w in windows], [w.start for w in windows])
        tile = tiles[(i * len(starts[1]) + j) * len(starts[2]) + k]
        values = tile[t : t + spans[0], y : y + spans[1], x : x + spans[2]]
        parts.append(Part(values, windows[0].weights, _plane(windows[1].weights, windows[2].weights, values)))
    return parts


def _plane(down: Tensor | None, across: Tensor | None, values: Tensor) -> Tensor | None:
    """(H or 1, W, C or 1) weights, laid out so that the innermost axis of ``values`` meets no broadcast."""
    if down is None and across is None:
        return None
    width, channels = values.shape[2:]
    batch = channels if values.stride(3) == 1 else 1
    row = torch.ones(width, batch) if across is None else across[:, None].expand(-1, batch).contiguous()
    return row[None] if down is None else down[:, None, None] * row


def _fill(out: Tensor, parts: Sequence[Part], sums: Tensor | None, most: int) -> None:
    """Write a rectangle (T, H, W, C), in bands of up to ``most``, through ``sums`` where ``out`` cannot hold them."""
    if not parts:
        out.zero_()
        return
    if len(parts) == 1 and parts[0].weight(0) is None and out.dtype != torch.uint8:
        out.copy_(parts[0].values)
        return
    is_constant = all(part.weight_t is None for part in parts)
    for frames, rows in _cut_bands(out.shape, is_constant, most):
        band = out[frames, rows]
        total = band if sums is None else sums[: band.numel()].view(band.shape)
        for number, part in enumerate(parts):
            weight = part.weight(frames.start)
            if weight is not None and len(weight.shape) == 3 and len(weight) > 1:
                weight = weight[rows]
            _add(total, part.values[frames, rows].float(), weight, first=number == 0)
        if out.dtype == torch.uint8:
            total.mul_(WHITE).clamp_(0, WHITE).round_()
        if sums is not None:
            band.copy_(total)


def _cut_bands(shape: Sequence[int], is_constant: bool, most: int) -> Iterator[tuple[slice, slice]]:
    """(frames, rows) of up to ``most`` elements; frames one by one where weights change with time."""
    frames, height, width, channels = shape
    rows = min(height, max(1, most // (width * channels)))
    batch = max(1, most // (height * width * channels)) if is_constant else 1
    for t in range(0, frames, batch):
        for y in range(0, height, rows):
            yield slice(t, min(t + batch, frames)), slice(y, min(y + rows, height))


def _add(total: Tensor, values: Tensor, weight: Tensor | None, *, first: bool) -> None:
    if first:
        total.copy_(values) if weight is None else torch.mul(values, weight, out=total)
    elif weight is None:
        total.add_(values)
    else:
        total.addcmul_(values, weight)


def _none_if_ones(weights: Tensor) -> Tensor | None:
    return None if bool((weights == 1).all()) else weights
