"""Whether colours stay those of the source: over time, and from patch to patch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..plan.canvas import PatchPlan
from .frame_pairs import pair_with_source
from .seams import check_size

LEVELS = 255
"""Steps of an 8-bit file."""


@dataclass(frozen=True, eq=False)
class ColourDrift:
    """Mean colour of the result less that of the enlarged source, in 8-bit levels."""

    per_frame: Tensor
    """(T, 3)"""

    @property
    def largest(self) -> float:
        """The difference of the frame and channel that are farthest off, without its sign."""
        return float(self.per_frame.abs().max())

    @property
    def slope(self) -> float:
        """Levels per frame of the straight line through the channel that drifts the most; 0 for one frame."""
        time = torch.arange(len(self.per_frame), dtype=torch.float64)
        time = time - time.mean()
        if not time.any():
            return 0.0
        slopes = (time[:, None] * self.per_frame.double()).sum(0) / time.square().sum()
        return float(slopes[slopes.abs().argmax()])


def colour_drift(frames: Tensor, source: Tensor) -> ColourDrift:
    """How far the mean colour of every frame is from the source's; both (T, ., ., 3) in [0, 1]."""
    differences = [mean_colour(frame - large) for frame, large in pair_with_source(frames, source)]
    return ColourDrift(LEVELS * torch.stack(differences))


def patch_colour_variance(frames: Tensor, source: Tensor, plan: PatchPlan) -> Tensor:
    """(3,) variance between primary patches of the mean of (frames - enlarged source), averaged over frames.

    0: all patches have the colours of the source, or are off by the same amount. Per channel, in
    units of [0, 1] squared.

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
    """(patches, 3) mean colour of every primary patch of one (1, H, W, 3) difference, float64."""
    return torch.stack([mean_colour(difference[:, rows, columns]) for rows, columns in patch_windows(plan)])


def patch_windows(plan: PatchPlan) -> list[tuple[slice, slice]]:
    """(rows, columns) of the primary patches of one window of time, in pixels."""
    stride = plan.canvas.stride_px
    positions = sorted({(patch.origin[1:], patch.size[1:]) for patch in plan.primary})
    return [
        (slice(y * stride, (y + height) * stride), slice(x * stride, (x + width) * stride))
        for (y, x), (height, width) in positions
    ]


def mean_colour(difference: Tensor) -> Tensor:
    """(3,) mean of (1, H, W, 3), float64."""
    return difference.mean((0, 1, 2), dtype=torch.float64).cpu()
