"""UPSCALE_MODEL sockets: what core's Load Upscale Model loaded, under ComfyUI's memory management."""

from __future__ import annotations

from typing import Any

import comfy.model_management
from torch import Tensor

from ...finish.image_upscaler import ImageUpscaler, describe, upscale_images
from ...progress import OnDone
from ...settings import UPSCALER
from .run_times import timed_stage

TILE_BYTES = 512 * 512 * 3 * 4 * 384
"""What a network of scale 1 may take for a tile, by core's own reckoning."""


def run_image_upscaler(
    model: Any, frames: Tensor, target: tuple[int, int], *, on_frames: OnDone | None = None
) -> Tensor:
    """See :func:`finish.image_upscaler.upscale_images`; computes on ComfyUI's device and answers where ``frames`` are.

    Args:
        model: an UPSCALE_MODEL.

    Raises:
        ModelError: for one of other pictures than RGB.
    """
    with timed_stage(UPSCALER, len(frames), target):
        return upscale_images(_loaded(model), frames, target, on_frames=on_frames)


def _loaded(model: Any) -> ImageUpscaler:
    patcher = getattr(model, "patcher", None)
    if patcher is None:  # of ComfyUI before 0.33
        device = comfy.model_management.get_torch_device()
        return describe(model, model.to(device), device)
    comfy.model_management.load_models_gpu([patcher], memory_required=TILE_BYTES * max(model.scale, 1))
    return describe(model, model, patcher.load_device)
