"""Which tokens of which patches make up a subsampled frame, and how patches lie in time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..plan.canvas import TOKEN_CELLS, Patch, PatchPlan


def group_by_window(patches: Sequence[Patch]) -> list[list[Patch]]:
    """The patches of every temporal window, the first window first."""
    return [[patch for patch in patches if patch.origin[0] == start] for start in sorted(window_starts(patches))]


def window_starts(patches: Sequence[Patch]) -> set[int]:
    """The first frames of all temporal windows."""
    return {patch.origin[0] for patch in patches}


def sample_frame_tokens(patches: Sequence[Patch], plan: PatchPlan) -> dict[Patch, Tensor]:
    """Which tokens of which patches make up the subsampled frame of every window; each position comes once."""
    height, width = (side // TOKEN_CELLS for side in plan.patch_size[1:])
    whole = [side // TOKEN_CELLS for side in plan.canvas.latent_size]
    stride = [-(-side // own) for side, own in zip(whole, (height, width), strict=True)]
    frames = plan.patch_size[0]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    samples: dict[Patch, Tensor] = {}
    for members in group_by_window(patches):
        free = torch.zeros(whole, dtype=torch.bool)
        free[stride[0] // 2 :: stride[0], stride[1] // 2 :: stride[1]] = True
        for patch in sorted(members, key=lambda patch: patch.kind != "primary"):
            top, left = (cell // TOKEN_CELLS for cell in patch.origin[1:])
            area = free[top : top + height, left : left + width]
            tokens = (y * width + x)[: area.shape[0], : area.shape[1]][area]
            area[:] = False
            if len(tokens):
                samples[patch] = (torch.arange(frames)[:, None] * height * width + tokens).flatten()
    return samples
