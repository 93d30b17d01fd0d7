"""Converts a renderer's motion vectors to flows.

They are exact, but often available in one direction only. The other direction is computed by splatting
each vector to its target; pixels that no vector points to were occluded and have no motion.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import MediaError
from .flow import ClipFlows

OCCLUDED_PX = 30000.0
"""Flow of pixels that are occluded in the other frame: outside of any image, so that no flow is consistent with it.

It remains so after averaging and downsampling, and is representable in half precision.
"""
MIN_COVERAGE = 0.25
"""Minimum splatted weight of a pixel that is not occluded; a zoom by 1.5 leaves no pixel with less."""
ROUNDING = 1e-4


def flows_from_vectors(vectors: Tensor) -> ClipFlows:
    """Convert Blender's Vector pass.

    Its x and y point to the previous frame; its z and w point from the next frame to this one (the sign
    that Cycles uses). Units are pixels, with y up.

    Args:
        vectors: (T, H, W, 4), or (T, H, W, 2 or 3) with x and y only.

    Raises:
        MediaError: for other shapes.
    """
    if vectors.ndim != 4 or not 2 <= vectors.shape[-1] <= 4:
        raise MediaError(
            f"Motion vectors have shape {tuple(vectors.shape)}; they must have (frames, height, width, 2 to 4)."
        )
    to_next = -vectors[..., 2:] if vectors.shape[-1] == 4 else None
    return flows_from_motion(to_next, vectors[..., :2])


def flows_from_motion(motion_to_next: Tensor | None = None, motion_to_previous: Tensor | None = None) -> ClipFlows:
    """Convert per-pixel motion vectors; a direction that is not given is computed from the other.

    Args:
        motion_to_next, motion_to_previous: (T, H, W, 2) in pixels, x to the right and y up, from a position in a
            frame to the same content in its neighbour. The last frame's vectors to the next frame and the first
            one's to the previous frame are ignored. NaN means occluded.

    Raises:
        MediaError: when neither is given, or their shapes differ.
    """
    if motion_to_next is None and motion_to_previous is None:
        raise MediaError("There are no motion vectors; give those to the next frame, to the previous one, or both.")
    ahead = None if motion_to_next is None else _to_flow(motion_to_next)[:-1]
    back = None if motion_to_previous is None else _to_flow(motion_to_previous)[1:]
    if ahead is None:
        assert back is not None
        ahead = reverse_flow(back)
    elif back is None:
        back = reverse_flow(ahead)
    if ahead.shape != back.shape:
        raise MediaError(
            f"Motion to the next frame has shape {tuple(ahead.shape)} but to the previous one {tuple(back.shape)}; "
            "give both for the same frames."
        )
    return ClipFlows(ahead, back)


def reverse_flow(flow: Tensor) -> Tensor:
    """Compute the flow of the opposite direction by bilinear splatting of the negated vectors.

    Args:
        flow: (B, 2, H, W) pixels.

    Returns:
        (B, 2, H, W): the mean where several vectors meet, :data:`OCCLUDED_PX` in both components where none does.
    """
    count, _, height, width = flow.shape
    y, x = torch.meshgrid(
        torch.arange(height, device=flow.device), torch.arange(width, device=flow.device), indexing="ij"
    )
    targets = torch.stack([x, y]) + flow
    corner = targets.floor()
    part = targets - corner
    carried = torch.cat([-flow, torch.ones_like(flow[:, :1])], 1).flatten(2)
    total = flow.new_zeros(count, 3, height * width)
    for right in (0, 1):
        for below in (0, 1):
            column, row = corner[:, 0] + right, corner[:, 1] + below
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            share = (1 - right - part[:, 0]).abs() * (1 - below - part[:, 1]).abs() * inside
            index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long().flatten(1)
            total.scatter_add_(2, index[:, None].expand(-1, 3, -1), carried * share.flatten(1)[:, None])
    found, share = total[:, :2], total[:, 2:]
    back = torch.where(share > MIN_COVERAGE - ROUNDING, found / share.clamp(min=ROUNDING), OCCLUDED_PX)
    return back.view(flow.shape)


def _to_flow(motion: Tensor) -> Tensor:
    """(T, 2, H, W) with y down; vectors that are not finite or too long are marked as occluded."""
    flow = torch.stack([motion[..., 0], -motion[..., 1]], 1).float()
    seen = flow.isfinite().all(1, keepdim=True) & (flow.abs() < OCCLUDED_PX).all(1, keepdim=True)
    return torch.where(seen, flow, OCCLUDED_PX)
