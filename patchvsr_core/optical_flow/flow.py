"""Optical flow and warping.

Flows are (B, 2, H, W) in pixels, channel order (dx, dy): the content of frame a at p is in frame b at
p + flow(p). :mod:`estimators` estimates them, :mod:`motion_vectors` converts those of a renderer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..distributed import current_group, sharded
from ..progress import OnDone
from ..resample import frames_per_batch
from .estimators import Estimator, dis


@dataclass(frozen=True, eq=False)
class ClipFlows:
    """Forward and backward flows between consecutive frames of a clip."""

    to_next: Tensor
    """(T - 1, 2, H, W) pixels: from frames 0 to T-2 to the next one."""
    to_previous: Tensor
    """(T - 1, 2, H, W) pixels: from frames 1 to T-1 to the previous one."""

    def __len__(self) -> int:
        """Number of pairs of frames, one less than :attr:`frames`."""
        return len(self.to_next)

    @property
    def frames(self) -> int:
        """T, the length of the clip."""
        return len(self) + 1

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.to_next.shape[-2:]
        return height, width

    def resize(self, size: tuple[int, int]) -> ClipFlows:
        """The flows of the clip resized to (height, width); see :func:`resize_flow`."""
        return ClipFlows(resize_flow(self.to_next, size), resize_flow(self.to_previous, size))

    def consistency(self, alpha1: float = 0.01, alpha2: float = 0.5) -> tuple[Tensor, Tensor]:
        """Forward-backward consistency masks of both directions: two (T - 1, 1, H, W); see :func:`consistency`."""
        return (
            consistency(self.to_next, self.to_previous, alpha1, alpha2),
            consistency(self.to_previous, self.to_next, alpha1, alpha2),
        )

    def slice(self, first: int, last: int) -> ClipFlows:
        """The flows of ``frames[first:last]`` of the clip."""
        pairs = range(self.frames)[first:last][:-1]
        return ClipFlows(self.to_next[pairs.start : pairs.stop], self.to_previous[pairs.start : pairs.stop])


def estimate_clip_flows(
    frames: Tensor, estimator: Estimator | None = None, on_pairs: OnDone | None = None
) -> ClipFlows:
    """Estimate the flows of a clip.

    Args:
        frames: (T, 3, H, W) in [0, 1]; the flows of a single frame are empty.
        estimator: None for dense inverse search.
        on_pairs: called with (pairs done, total pairs).
    """
    estimator = estimator or dis()
    pairs, size = len(frames) - 1, (int(frames.shape[-2]), int(frames.shape[-1]))
    to_next, to_previous = (frames.new_zeros(pairs, 2, *size, dtype=torch.float32) for _ in range(2))
    group = current_group()
    together = max(1, min(frames_per_batch(size), -(-pairs // group.size)))
    for start in sharded(range(0, pairs, together)):
        here, after = frames[start:pairs][:together], frames[start + 1 :][:together]
        to_next[start : start + together] = estimator(here, after)
        to_previous[start : start + together] = estimator(after, here)
        if on_pairs is not None:
            on_pairs(start + len(here), pairs)
    return ClipFlows(group.all_reduce(to_next), group.all_reduce(to_previous))


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a flow with its frames.

    Args:
        flow: (B, 2, h, w) pixels.
        size: (height, width). The flow is area-averaged, or interpolated bilinearly if it gets larger; dx is scaled
            with the width and dy with the height.

    Returns:
        (B, 2, *size) pixels.
    """
    height, width = flow.shape[-2:]
    if (height, width) == tuple(size):
        return flow
    ratio = torch.tensor([size[1] / width, size[0] / height], device=flow.device, dtype=flow.dtype)
    larger = size[0] >= height and size[1] >= width
    return F.interpolate(flow, size=size, mode="bilinear" if larger else "area") * ratio[:, None, None]


def warp(x: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """Warp backward: sample ``x`` (B, C, H, W) at p + flow(p), zero outside.

    Coordinates are float32 or better: half precision cannot represent pixel positions beyond 2048.

    Args:
        mode: ``bilinear``, ``nearest`` or ``bicubic``.
    """
    height, width = flow.shape[-2:]
    counted = torch.promote_types(x.dtype, torch.float32)
    flow = flow.to(torch.promote_types(flow.dtype, torch.float32))
    y, x_ = torch.meshgrid(
        torch.arange(height, device=flow.device), torch.arange(width, device=flow.device), indexing="ij"
    )
    across, down = (x_ + flow[:, 0]) * 2 + 1, (y + flow[:, 1]) * 2 + 1
    grid = torch.stack([across / width - 1, down / height - 1], dim=-1)
    found = F.grid_sample(x.to(counted), grid.to(counted), mode=mode, padding_mode="zeros", align_corners=False)
    return found.to(x.dtype)


def consistency(forward: Tensor, backward: Tensor, alpha1: float = 0.01, alpha2: float = 0.5) -> Tensor:
    """Forward-backward consistency: |f + b(p + f)|^2 < alpha1 (|f|^2 + |b|^2) + alpha2.

    Returns:
        (B, 1, H, W), 1 or 0.
    """
    back = warp(backward, forward)
    error = (forward + back).square().sum(1, keepdim=True)
    size = forward.square().sum(1, keepdim=True) + back.square().sum(1, keepdim=True)
    return (error < alpha1 * size + alpha2).to(forward.dtype)
