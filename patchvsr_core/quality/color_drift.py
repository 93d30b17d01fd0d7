"""Colour drift relative to the source: over time, and between patches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..plan.canvas import PatchPlan
from .frame_pairs import pair_with_source
from .seams import check_size

LEVELS = 255
"""8-bit levels of the range [0, 1]."""


@dataclass(frozen=True, eq=False)
class ColourDrift:
    """Mean colour of the result minus that of the upsampled source, in 8-bit levels."""

    per_frame: Tensor
    """(T, 3), RGB."""

    @property
    def largest(self) -> float:
        """Largest absolute difference over frames and channels."""
        return float(self.per_frame.abs().max())

    @property
    def slope(self) -> float:
        """Slope of a linear fit to the channel that drifts most, in levels per frame; 0 for a single frame."""
        time = torch.arange(len(self.per_frame), dtype=torch.float64)
        time = time - time.mean()
        if not time.any():
            return 0.0
        slopes = (time[:, None] * self.per_frame.double()).sum(0) / time.square().sum()
        return float(slopes[slopes.abs().argmax()])


def colour_drift(frames: Tensor, source: Tensor) -> ColourDrift:
    """Measure the difference of every frame's mean colour from the source's; (T, H, W, 3) in [0, 1] of any size."""
    differences = [mean_colour(frame - large) for frame, large in pair_with_source(frames, source)]
    return ColourDrift(LEVELS * torch.stack(differences))


def patch_colour_variance(frames: Tensor, source: Tensor, plan: PatchPlan) -> Tensor:
    """(3,) variance between primary patches of the mean of (frames - upsampled source), averaged over frames.

    0 when all patches have the colours of the source, or the same offset. Per channel, in squared
    units of [0, 1].

    Raises:
        PlanError: when the plan is for frames of another size.
    """
    check_size(frames, plan)
    means = [patch_colours(frame - large, plan) for frame, large in pair_with_source(frames, source)]
    return variance_of(torch.stack(means))


def variance_of(patch_means: Tensor) -> Tensor:
    """(3,) variance over patches, averaged over frames, of (T, patches, 3) means."""
    return patch_means.var(1, correction=0).mean(0)


def patch_colours(difference: Tensor, plan: PatchPlan) -> Tensor:
    """(patches, 3) float64 mean colour of every primary patch of a (1, H, W, 3) difference."""
    return torch.stack([mean_colour(difference[:, rows, columns]) for rows, columns in patch_windows(plan)])


def patch_windows(plan: PatchPlan) -> list[tuple[slice, slice]]:
    """(rows, columns) of the primary patches of one temporal window, in pixels."""
    stride = plan.canvas.stride_px
    positions = sorted({(patch.origin[1:], patch.size[1:]) for patch in plan.primary})
    return [
        (slice(y * stride, (y + height) * stride), slice(x * stride, (x + width) * stride))
        for (y, x), (height, width) in positions
    ]


def mean_colour(difference: Tensor) -> Tensor:
    """(3,) mean of (1, H, W, 3), float64."""
    return difference.mean((0, 1, 2), dtype=torch.float64).cpu()
