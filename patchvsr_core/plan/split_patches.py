"""Splits upscaled frames into the patches of a plan and joins them again, so that patches can be edited one by one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import PlanError
from .canvas import PatchPlan
from .positions import Position, list_positions, patches_at

PLANNED = "plan"
"""Use the blending weights of the plan."""
WINDOWS = (PLANNED, "linear", "cosine")
"""Ways to cross-fade patches."""


def split_patches(frames: Tensor, plan: PatchPlan) -> list[Tensor]:
    """Crop every position of ``plan``, in the order of their numbers.

    Args:
        frames: (T, H, W, C) of the plan's target size.

    Returns:
        (T, h, w, C) each, all of the plan's patch size in pixels; outside the frame its border is repeated.

    Raises:
        PlanError: for frames of another size.
    """
    (height, width), target = frames.shape[1:3], plan.canvas.target
    if (height, width) != target:
        raise PlanError(
            f"The frames are {width}x{height} but the plan makes {target[1]}x{target[0]}; connect upscaled frames, "
            "such as those of Blender or of Refine & Fidelity."
        )
    return [_crop(frames, position, _patch_px(plan)) for position in list_positions(plan)]


def join_patches(crops: Sequence[Tensor], plan: PatchPlan, window: str = PLANNED) -> Tensor:
    """Blend crops back into frames, with weights that sum to 1 in every pixel.

    Args:
        crops: (T, h, w, C) each, in the order and of the size that :func:`split_patches` returns.
        window: ``plan`` uses the plan's weights, interpolated to pixels; ``linear`` and ``cosine`` fade from the
            centre of a crop to its edges.

    Returns:
        (T, H, W, C) float32 frames of exactly the target size.

    Raises:
        PlanError: when a crop is missing or has another shape than the rest.
    """
    where = list_positions(plan)
    _check(crops, len(where), _patch_px(plan))
    height, width = plan.canvas.target
    first = crops[0]
    weights = [
        _weight(plan, position, window).to(first.device)[: position.height, : position.width] for position in where
    ]
    total = torch.zeros(height, width, device=first.device)
    for position, weight in zip(where, weights, strict=True):
        total[position.rows, position.columns] += weight
    joined = torch.zeros(len(first), height, width, first.shape[3], device=first.device)
    for position, weight, crop in zip(where, weights, crops, strict=True):
        share = weight / total[position.rows, position.columns]
        joined[:, position.rows, position.columns] += crop[:, : position.height, : position.width] * share[..., None]
    return joined


def _patch_px(plan: PatchPlan) -> tuple[int, int]:
    """(height, width) of every patch in pixels."""
    height, width = (cells * plan.canvas.stride_px for cells in plan.patch_size[1:])
    return height, width


def _crop(frames: Tensor, position: Position, size: tuple[int, int]) -> Tensor:
    seen = frames[:, position.rows, position.columns]
    beyond = (0, size[1] - position.width, 0, size[0] - position.height)
    return F.pad(seen.movedim(-1, 1), beyond, mode="replicate").movedim(1, -1).contiguous()


def _weight(plan: PatchPlan, position: Position, window: str) -> Tensor:
    """(h, w) blending weights of a crop, before they are normalised to sum to 1."""
    if window == PLANNED:
        cells = torch.stack([patch.weight_yx for patch in patches_at(plan, position.number)]).sum(0)
        return _in_pixels(cells, plan.canvas.stride_px)
    if window not in WINDOWS:
        raise PlanError(f"Unknown window {window!r}; choose one of {', '.join(WINDOWS)}.")
    rows, columns = (_fade(length, window) for length in _patch_px(plan))
    return torch.outer(rows, columns)


def _in_pixels(cells: Tensor, stride_px: int) -> Tensor:
    """Interpolate weights of cells to pixels; a fade that ends at the edge of the crop reaches 0 there."""
    for _ in range(2):
        before, after = 2 * cells[:1] - cells[1:2], 2 * cells[-1:] - cells[-2:-1]
        cells = torch.cat([before, cells, after]).clamp(min=0).T
    pixels = F.interpolate(cells[None, None], scale_factor=stride_px, mode="bilinear")[0, 0]
    return pixels[stride_px:-stride_px, stride_px:-stride_px]


def _fade(length: int, shape: str) -> Tensor:
    """(length,) weights that fall from 1 in the centre to almost 0 at both ends."""
    middle = length / 2
    height = 1 - (torch.arange(length) + 0.5 - middle).abs() / middle
    return height if shape == "linear" else 0.5 - 0.5 * torch.cos(torch.pi * height)


def _check(crops: Sequence[Tensor], expected: int, size: tuple[int, int]) -> None:
    if len(crops) != expected:
        raise PlanError(
            f"There are {len(crops)} patches but the plan has {expected} positions; connect all patches from Split "
            "into Patches with this plan, in the same order."
        )
    for number, crop in enumerate(crops, 1):
        height, width = crop.shape[1:3]
        if (height, width) != size:
            raise PlanError(
                f"Patch {number} is {width}x{height} but the plan's patches are {size[1]}x{size[0]}; nodes "
                "between Split into Patches and Join Patches must keep the size."
            )
        if (len(crop), crop.shape[3]) != (len(crops[0]), crops[0].shape[3]):
            raise PlanError(
                f"Patch {number} has {len(crop)} frames of {crop.shape[3]} channels, patch 1 has "
                f"{len(crops[0])} of {crops[0].shape[3]}; all patches must have the same number of both."
            )
