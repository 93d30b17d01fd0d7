"""The shipped refiner under ComfyUI's memory management."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import comfy.model_management
import comfy.model_patcher
from torch import Tensor

from ...damage import measured_damage
from ...progress import OnDone
from ...refine import Refiner, load_refiner, refine_frames
from ...weights import shipped

TILE_BYTES = 2**30
"""What the refiner works in: a tile of 32 frames at 512 px, its features and the convolution's scratch."""


@lru_cache(maxsize=1)
def _patcher() -> Any:
    return comfy.model_patcher.ModelPatcher(
        load_refiner(shipped("tiny_refiner.safetensors")),
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


def shipped_refiner() -> Refiner:
    """The refiner that ships with PatchVSR; wherever ComfyUI keeps it now."""
    refiner: Refiner = _patcher().model
    return refiner


def shipped_damage(source: Tensor, cleanup: float) -> float:
    """See :func:`damage.measured_damage`."""
    return measured_damage(shipped_refiner().meter, source, cleanup)


def run_refiner(
    frames: Tensor, source: Tensor, strength: float, detail: float, damage: float, on_frames: OnDone | None = None
) -> Tensor:
    """See :func:`refine.refine_frames`; computes on ComfyUI's device and answers where ``frames`` are."""
    patcher = _patcher()
    comfy.model_management.load_models_gpu([patcher], memory_required=TILE_BYTES)
    return refine_frames(
        patcher.model, frames, source, strength=strength, detail=detail, damage=damage, on_frames=on_frames
    )
