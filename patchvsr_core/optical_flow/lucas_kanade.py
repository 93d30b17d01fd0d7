"""Dense pyramidal Lucas-Kanade optical flow in pure torch, coarse to fine.

Lucas & Kanade 1981 with the pyramid of Bouguet 2001 and robust weights: at every pixel, the step that
best explains the change of brightness in a window around it. Runs on the device of the frames, and is
deterministic.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..srgb import LUMA

MIN_SIDE_PX = 12
"""The coarsest level is the first one whose shortest side is at most twice this."""
ITERATIONS = 3
"""Iterations on all levels but the coarsest."""
COARSE_ITERATIONS = 8
"""Iterations on the coarsest level, which starts from zero flow."""
WINDOW_PX = 9
ILLUMINATION_PX = 31
"""Window of the local mean that is subtracted, so that changes of illumination are not taken for motion."""
RESIDUAL_SCALE = 0.02
"""Residual above which a pixel is down-weighted, as it may belong to another surface."""
REGULARISATION = 1e-4
"""Squared gradient below which a window keeps the flow of the coarser level."""


def pyramid(device: torch.device | str | None = None) -> Callable[[Tensor, Tensor], Tensor]:
    """Create a Lucas-Kanade estimator, which needs neither OpenCV nor weights.

    Args:
        device: where to run; None for the device of the frames.
    """

    @torch.no_grad()
    def estimate(first: Tensor, second: Tensor) -> Tensor:
        a, b = (_brightness(frames.to(device or frames.device)) for frames in (first, second))
        return _coarse_to_fine(a, b).to(first.device)

    return estimate


def _coarse_to_fine(first: Tensor, second: Tensor) -> Tensor:
    """Flow of (B, 1, H, W) planes: that of half the size, upsampled and refined."""
    height, width = first.shape[-2:]
    if min(height, width) <= 2 * MIN_SIDE_PX:
        return _refine(first, second, first.new_zeros(len(first), 2, height, width), COARSE_ITERATIONS)
    coarse = _coarse_to_fine(_downsample(first), _downsample(second))
    finer = F.interpolate(2 * coarse, scale_factor=2, mode="bilinear", align_corners=False)
    return _refine(first, second, finer[..., :height, :width], ITERATIONS)


def _brightness(frames: Tensor) -> Tensor:
    """(B, 1, H, W) luma (BT.601) of (B, 3, H, W)."""
    weights = torch.tensor(LUMA, device=frames.device)
    return (frames.float().clamp(0, 1) * weights[:, None, None]).sum(1, keepdim=True)


def _downsample(plane: Tensor) -> Tensor:
    """Downsample by 2, rounding up; pixel i covers 2 i and 2 i + 1."""
    return F.avg_pool2d(plane, 2, ceil_mode=True, count_include_pad=False)


def _refine(first: Tensor, second: Tensor, flow: Tensor, rounds: int) -> Tensor:
    """Run Lucas-Kanade steps on one level, each followed by a median filter that removes outliers."""
    first, second = (plane - _box_mean(plane, ILLUMINATION_PX) for plane in (first, second))
    padded = F.pad(first, (1, 1, 1, 1), mode="replicate")
    slope_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    slope_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    fetch = _make_sampler(second)
    for _ in range(rounds):
        moved, inside = fetch(flow)
        change = moved - first
        weight = inside / (change.abs() + RESIDUAL_SCALE)
        products = [slope_x * slope_x, slope_x * slope_y, slope_y * slope_y, slope_x * change, slope_y * change]
        sums = _box_mean(torch.cat([*products, torch.ones_like(weight)], 1) * weight, WINDOW_PX)
        xx, xy, yy, xt, yt, total = sums.split(1, 1)
        xx, yy = xx + REGULARISATION * total, yy + REGULARISATION * total
        scale = (xx * yy - xy * xy).clamp(min=torch.finfo(xx.dtype).tiny)
        step = torch.cat([xy * yt - yy * xt, xy * xt - xx * yt], 1) / scale
        flow = _median(flow + step.clamp(-2, 2))
    return flow


def _make_sampler(plane: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A function of a flow that returns (``plane`` warped by it, 1 where the target is inside)."""
    height, width = plane.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=plane.device), torch.arange(width, device=plane.device), indexing="ij"
    )
    rest = torch.stack([x, y])
    unit = torch.tensor([2 / width, 2 / height], device=plane.device)

    def fetch(flow: Tensor) -> tuple[Tensor, Tensor]:
        grid = (rest + flow + 0.5).movedim(1, -1) * unit - 1
        moved = F.grid_sample(plane, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return moved, (grid.abs() <= 1).all(-1)[:, None].to(plane.dtype)

    return fetch


def _box_mean(planes: Tensor, side: int) -> Tensor:
    """Box filter, normalised at the frame's border."""
    half = side // 2
    planes = F.avg_pool2d(planes, (1, side), 1, (0, half), count_include_pad=False)
    return F.avg_pool2d(planes, (side, 1), 1, (half, 0), count_include_pad=False)


def _median(flow: Tensor) -> Tensor:
    """3 x 3 median filter of each component: sort every column, then combine the sorted columns."""
    height, width = flow.shape[-2:]
    padded = F.pad(flow, (1, 1, 1, 1), mode="replicate")
    above, here, below = (padded[..., row : row + height, :] for row in range(3))
    low, high = torch.minimum(above, below), torch.maximum(above, below)
    ordered = torch.minimum(low, here), _middle(above, here, below), torch.maximum(high, here)
    left, centre, right = ([plane[..., at : at + width] for plane in ordered] for at in range(3))
    largest_low = torch.maximum(torch.maximum(left[0], centre[0]), right[0])
    smallest_high = torch.minimum(torch.minimum(left[2], centre[2]), right[2])
    return _middle(largest_low, _middle(left[1], centre[1], right[1]), smallest_high)


def _middle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))
