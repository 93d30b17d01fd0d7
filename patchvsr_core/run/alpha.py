"""Upsamples what models do not process: transparency, and highlights brighter than white."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..finish.back_projection import back_project
from ..resample import resize

ROUNDS = 4
"""Of back-projection, which keeps the edges of a matte crisp."""


def is_in_range(frames: Tensor) -> bool:
    """Whether all colours of (T, h, w, 3 or 4) frames are in [0, 1], so that a model may see them as they are."""
    darkest, brightest = frames[..., :3].aminmax()
    return bool(darkest >= 0 and brightest <= 1)


def shown(frames: Tensor) -> Tensor:
    """What a model sees of (T, h, w, 3 or 4) frames: their colours, without a copy where they need no change."""
    return frames[..., :3].contiguous() if is_in_range(frames) else frames[..., :3].clamp(0, 1)


def with_extras(work: Callable[..., Tensor], frames: Tensor, target: tuple[int, int], *others: Any) -> Tensor:
    """Let ``work`` upscale the colours of (T, h, w, 3 or 4) frames, and put back what it was not given.

    Returns:
        (T, *target, C); in [0, 1] but for lights that were brighter.
    """
    seen = shown(frames)
    result = work(seen, target, *others)
    if not is_in_range(frames):
        result = result + _resize_lights(frames[..., :3] - seen, target)
    return with_matte(result, frames)


def _resize_lights(lights: Tensor, target: tuple[int, int]) -> Tensor:
    """Resize what is outside [0, 1] without ringing, which beside a light of 100 would reach from white to black."""
    return resize(lights, target).clamp(*lights.aminmax())


def with_matte(result: Tensor, source: Tensor) -> Tensor:
    """(T, H, W, 3) with the transparency that the clip it was made from, (T, h, w, 3 or 4), may have."""
    if source.shape[-1] == 3:
        return result
    alpha = source[..., 3:]
    size = (int(result.shape[1]), int(result.shape[2]))
    matte = back_project(resize(alpha, size), alpha, rounds=ROUNDS).clamp(0, 1)
    return torch.cat([result, matte.to(result)], -1)
