"""The shipped refiner under ComfyUI's memory management."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import comfy.model_management
import comfy.model_patcher
from torch import Tensor

from ...refine import load_refiner, refine_frames
from ...weights import shipped


@lru_cache(maxsize=1)
def _patcher() -> Any:
    return comfy.model_patcher.ModelPatcher(
        load_refiner(shipped("tiny_refiner.safetensors")),
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


def run_refiner(frames: Tensor, source: Tensor, strength: float) -> Tensor:
    """See :func:`refine.refine_frames`; runs on ComfyUI's device and answers where ``frames`` are."""
    patcher = _patcher()
    comfy.model_management.load_models_gpu([patcher])
    device = patcher.load_device
    return refine_frames(patcher.model, frames.to(device), source.to(device), strength=strength).to(frames.device)
