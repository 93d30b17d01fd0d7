"""Reading a picture at places between its pixels, several of them for every pixel, weighed and summed.

The same numbers as :func:`optical_flow.flow.warp` at every place, their products with the weights and
the sum, without ever holding any of these: the four pixels around all places of a pixel are rows of
one weighted sum. Positions are counted in single precision whatever the picture comes in (half
precision tells no pixels apart beyond the 2048th); what is read is channels last.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SamplePoints:
    """Where to read pictures of one size."""

    index: Tensor
    """(B, h, w, places, 4) numbers of the pixels around a place, counted over the batch; any where there is none."""
    weight: Tensor
    """(B, h, w, places, 4) float32 bilinear weights; 0 where there is no pixel."""

    def gather_sum(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """One value for every pixel.

        Args:
            x: (B, C, h, w); channels last saves a copy.
            weights: (B, h, w, places) of the places; None for their mean.

        Returns:
            (B, C, h, w); places outside count as zero.
        """
        weight = self.weight / self.weight.shape[3] if weights is None else self.weight * weights[..., None].float()
        return _gather_sums(x, self.index.flatten(3), weight.flatten(3)).movedim(-1, 1)

    def gather(self, x: Tensor) -> Tensor:
        """(B, C, h, w) at every place by itself: (B, h, w, places, C)."""
        return _gather_sums(x, self.index, self.weight)


def sample_points(offsets: Tensor) -> SamplePoints:
    """Places given as (B, h, w, places, 2) offsets (dx, dy) from every pixel, in pixels."""
    batch, height, width = offsets.shape[:3]
    device = offsets.device
    columns, rows, frames = (torch.arange(n, device=device, dtype=torch.int32) for n in (width, height, batch))
    x = columns[:, None] + offsets[..., 0].float()
    y = rows[:, None, None] + offsets[..., 1].float()
    left, top = x.floor(), y.floor()
    x1, y1 = x - left, y - top
    index, weight = [], []
    for row, share_y in ((top, 1 - y1), (top + 1, y1)):
        for column, share_x in ((left, 1 - x1), (left + 1, x1)):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            pixel = row.clamp(0, height - 1).to(torch.int32) * width + column.clamp(0, width - 1).to(torch.int32)
            index.append(pixel + frames[:, None, None, None] * (height * width))
            weight.append(share_x * share_y * inside)
    return SamplePoints(torch.stack(index, -1), torch.stack(weight, -1))


def _gather_sums(x: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums of pixels of (B, C, h, w) over the last axis of (..., n) numbers and weights: (..., C)."""
    pixels = x.movedim(1, -1).reshape(-1, x.shape[1])
    found = sum_weighted_rows(pixels, index.flatten(0, -2), weight.flatten(0, -2).to(x.dtype))
    return found.unflatten(0, weight.shape[:-1])


def sum_weighted_rows(table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Rows of an (R, C) table summed with (N, n) weights by (N, n) numbers: (N, C)."""
    if table.device.type in ("cpu", "cuda"):
        return F.embedding_bag(index, table, per_sample_weights=weights, mode="sum")
    return sum_gathered_rows(table, index, weights)


def sum_gathered_rows(table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """:func:`sum_weighted_rows` with the rows held at once, for devices that lack the kernel."""
    return (table[index.long()] * weights[..., None]).sum(1)
