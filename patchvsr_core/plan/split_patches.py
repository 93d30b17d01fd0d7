"""The places of a plan cut out of enlarged frames, and put together again: for work on single patches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import PlanError
from .canvas import PatchPlan
from .positions import Position, list_positions, patches_at

PLANNED = "plan"
"""The window that fades as the plan's own patches do."""
WINDOWS = (PLANNED, "linear", "cosine")
"""How cutouts may fade into one another."""


def split_patches(frames: Tensor, plan: PatchPlan) -> list[Tensor]:
    """Every place of ``plan`` as a clip of its own, in the order of the places' numbers.

    Args:
        frames: (T, H, W, C) of the size that the plan makes.

    Returns:
        (T, h, w, C) each, all of the plan's patch size in pixels; what lies beyond the frame repeats its border.

    Raises:
        PlanError: for frames of another size.
    """
    (height, width), target = frames.shape[1:3], plan.canvas.target
    if (height, width) != target:
        raise PlanError(
            f"The frames are {width}x{height} but the plan makes {target[1]}x{target[0]}; connect enlarged frames, "
            "such as those of Blender or of Refine & Fidelity."
        )
    return [_crop(frames, position, _patch_px(plan)) for position in list_positions(plan)]


def join_patches(crops: Sequence[Tensor], plan: PatchPlan, window: str = PLANNED) -> Tensor:
    """Put cutouts back where they came from; they fade into one another with weights that sum to 1 in every pixel.

    Args:
        crops: (T, h, w, C) each, as :func:`split_patches` orders and sizes them.
        window: ``plan`` weighs as the plan does, in pixels; ``linear`` and ``cosine`` fade from the middle of a
            cutout to its edges.

    Returns:
        (T, H, W, C) float32 frames of exactly the planned size.

    Raises:
        PlanError: when a cutout is missing, or has another size than the rest.
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
    """(height, width) of every cutout."""
    height, width = (cells * plan.canvas.stride_px for cells in plan.patch_size[1:])
    return height, width


def _crop(frames: Tensor, position: Position, size: tuple[int, int]) -> Tensor:
    seen = frames[:, position.rows, position.columns]
    beyond = (0, size[1] - position.width, 0, size[0] - position.height)
    return F.pad(seen.movedim(-1, 1), beyond, mode="replicate").movedim(1, -1).contiguous()


def _weight(plan: PatchPlan, position: Position, window: str) -> Tensor:
    """(h, w) share of a cutout in its pixels, up to the factor that makes all shares sum to 1."""
    if window == PLANNED:
        cells = torch.stack([patch.weight_yx for patch in patches_at(plan, position.number)]).sum(0)
        return _in_pixels(cells, plan.canvas.stride_px)
    if window not in WINDOWS:
        raise PlanError(f"Window {window!r} is unknown; choose one of {', '.join(WINDOWS)}.")
    rows, columns = (_fade(length, window) for length in _patch_px(plan))
    return torch.outer(rows, columns)


def _in_pixels(cells: Tensor, stride_px: int) -> Tensor:
    """Weights of cells, interpolated; a fade that ends at the edge of the cutout reaches 0 there."""
    for _ in range(2):
        before, after = 2 * cells[:1] - cells[1:2], 2 * cells[-1:] - cells[-2:-1]
        cells = torch.cat([before, cells, after]).clamp(min=0).T
    pixels = F.interpolate(cells[None, None], scale_factor=stride_px, mode="bilinear")[0, 0]
    return pixels[stride_px:-stride_px, stride_px:-stride_px]


def _fade(length: int, shape: str) -> Tensor:
    """(length,) weights that fall from 1 in the middle almost to 0 at both ends."""
    middle = length / 2
    height = 1 - (torch.arange(length) + 0.5 - middle).abs() / middle
    return height if shape == "linear" else 0.5 - 0.5 * torch.cos(torch.pi * height)


def _check(crops: Sequence[Tensor], expected: int, size: tuple[int, int]) -> None:
    if len(crops) != expected:
        raise PlanError(
            f"There are {len(crops)} patches but the plan has {expected} places; connect all patches that Split "
            "into Patches made with this plan, in their order."
        )
    for number, crop in enumerate(crops, 1):
        height, width = crop.shape[1:3]
        if (height, width) != size:
            raise PlanError(
                f"Patch {number} is {width}x{height} but the plan's patches are {size[1]}x{size[0]}; what lies "
                "between Split into Patches and Join Patches has to keep their size."
            )
        if (len(crop), crop.shape[3]) != (len(crops[0]), crops[0].shape[3]):
            raise PlanError(
                f"Patch {number} has {len(crop)} frames of {crop.shape[3]} channels, patch 1 has "
                f"{len(crops[0])} of {crops[0].shape[3]}; every patch has to keep as many."
            )
