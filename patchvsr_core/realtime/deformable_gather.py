"""Weighted sums over bilinear samples at several sub-pixel points per pixel, as deformable attention needs them.

Equal to :func:`optical_flow.flow.warp` to every point and a weighted sum over the points, but without
materialising the samples: the four pixels around all points of a pixel are rows of one weighted sum.
Coordinates are float32 whatever the dtype of the features (half precision cannot represent pixel
positions beyond 2048); features are read as channels last.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SamplePoints:
    """Sampling points in feature maps of one size."""

    index: Tensor
    """(B, h, w, points, 4) flat indices, over the batch, of the pixels around a point; arbitrary outside."""
    weight: Tensor
    """(B, h, w, points, 4) float32 bilinear weights; 0 outside."""

    def gather_sum(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """Weighted sum over the points of every pixel.

        Args:
            x: (B, C, h, w); channels last saves a copy.
            weights: (B, h, w, points); None for the mean.

        Returns:
            (B, C, h, w); samples outside are zero.
        """
        weight = self.weight / self.weight.shape[3] if weights is None else self.weight * weights[..., None].float()
        return _gather_sums(x, self.index.flatten(3), weight.flatten(3)).movedim(-1, 1)

    def gather(self, x: Tensor) -> Tensor:
        """Sample (B, C, h, w) at every point: (B, h, w, points, C)."""
        return _gather_sums(x, self.index, self.weight)


def sample_points(offsets: Tensor) -> SamplePoints:
    """Compute sampling points from (B, h, w, points, 2) offsets (dx, dy) in pixels."""
    batch, height, width = offsets.shape[:3]
    device = offsets.device
    columns, rows, frames = (torch.arange(n, device=device, dtype=torch.int32) for n in (width, height, batch))
    across = _neighbours(columns[:, None] + offsets[..., 0].float(), width)
    down = _neighbours(rows[:, None, None] + offsets[..., 1].float(), height)
    index, weight = [], []
    for row, share_y in down:
        first = row * width + frames[:, None, None, None] * (height * width)
        for column, share_x in across:
            index.append(first + column)
            weight.append(share_x * share_y)
    return SamplePoints(torch.stack(index, -1), torch.stack(weight, -1))


def _neighbours(position: Tensor, length: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The two pixels around a position along one axis: int32 indices, and linear weights that are 0 outside.

    Compared and clamped as integers: NaN becomes some integer, and no index leads out of the features.
    """
    before = position.floor()
    share = position - before
    pixel = before.to(torch.int32)
    inside, after = pixel.clamp(0, length - 1), pixel + 1
    inside_after = after.clamp(0, length - 1)
    return (inside, (1 - share) * (inside == pixel)), (inside_after, share * (inside_after == after))


def _gather_sums(x: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Sum pixels of (B, C, h, w) with (..., n) indices and weights over the last axis: (..., C)."""
    pixels = x.movedim(1, -1).reshape(-1, x.shape[1])
    found = sum_weighted_rows(pixels, index.flatten(0, -2), weight.flatten(0, -2).to(x.dtype))
    return found.unflatten(0, weight.shape[:-1])


def sum_weighted_rows(table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of rows of an (R, C) table, with (N, n) indices and weights: (N, C)."""
    if torch.is_grad_enabled() and weights.requires_grad and not table.requires_grad:
        table = table.detach().requires_grad_()  # or some versions of torch return no gradient of the weights either
    if table.device.type in ("cpu", "cuda"):
        return F.embedding_bag(index, table, per_sample_weights=weights, mode="sum")
    return sum_gathered_rows(table, index, weights)


def sum_gathered_rows(table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """:func:`sum_weighted_rows` that materialises the rows, for devices without the kernel."""
    return (table[index.long()] * weights[..., None]).sum(1)
