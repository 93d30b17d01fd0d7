"""Optical flow: where the content of one frame is found in another.

Flows are (B, 2, H, W) in pixels, channel order (dx, dy): what frame a shows at p is found in
frame b at p + flow(p).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_PX = 16
"""Shortest side that the estimator takes; smaller frames are mirrored up to it."""


def optical_flow(first: Tensor, second: Tensor) -> Tensor:
    """Dense inverse search (OpenCV, medium preset) on the frames' brightness.

    Args:
        first, second: (B, 3, H, W) in [0, 1], on any device; the work is done on the CPU.

    Returns:
        (B, 2, H, W) float32 pixels, on the device of ``first``.
    """
    import cv2  # slow to load, and not needed by everyone who imports the core

    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = first.shape[-2:]
    flows = [estimator.calc(a, b, None)[:height, :width] for a, b in zip(_gray(first), _gray(second), strict=True)]
    return torch.from_numpy(np.stack(flows)).movedim(-1, 1).contiguous().to(first.device)


def clip_flows(frames: Tensor) -> tuple[Tensor, Tensor]:
    """(to the next, to the previous) frame of a clip.

    Args:
        frames: (T, 3, H, W) in [0, 1], T at least 2.

    Returns:
        two (T - 1, 2, H, W): of frames 0 to T-2 to the one after, and of frames 1 to T-1 to the one before.
    """
    return optical_flow(frames[:-1], frames[1:]), optical_flow(frames[1:], frames[:-1])


def warp(x: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """``x`` fetched from where ``flow`` points: (B, C, H, W) at p + flow(p), zero outside.

    Args:
        mode: ``bilinear``, ``nearest`` or ``bicubic``.
    """
    height, width = flow.shape[-2:]
    y, x_ = torch.meshgrid(
        torch.arange(height, device=flow.device), torch.arange(width, device=flow.device), indexing="ij"
    )
    across, down = (x_ + flow[:, 0]) * 2 + 1, (y + flow[:, 1]) * 2 + 1
    grid = torch.stack([across / width - 1, down / height - 1], dim=-1)
    return F.grid_sample(x, grid.to(x.dtype), mode=mode, padding_mode="zeros", align_corners=False)


def consistency(forward: Tensor, backward: Tensor, alpha1: float = 0.01, alpha2: float = 0.5) -> Tensor:
    """Where a flow and its return agree: |f + b(p + f)|^2 < alpha1 (|f|^2 + |b|^2) + alpha2.

    Returns:
        (B, 1, H, W), 1 or 0.
    """
    back = warp(backward, forward)
    error = (forward + back).square().sum(1, keepdim=True)
    size = forward.square().sum(1, keepdim=True) + back.square().sum(1, keepdim=True)
    return (error < alpha1 * size + alpha2).to(forward.dtype)


def _gray(frames: Tensor) -> list[np.ndarray]:
    """8-bit brightness (BT.601), mirrored up to the least size."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=frames.device)
    gray = (frames.float().clamp(0, 1) * 255 * weights[:, None, None]).sum(1).round().byte().cpu().numpy()
    pad = [(0, max(0, LEAST_PX - side)) for side in gray.shape[1:]]
    return [np.ascontiguousarray(np.pad(frame, pad, mode="symmetric")) for frame in gray]
