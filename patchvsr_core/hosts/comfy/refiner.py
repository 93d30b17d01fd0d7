"""Refiners under ComfyUI's memory management: the shipped one, and others by their files."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
from torch import Tensor

from ...finish.refine import Refiner, load_refiner, refine_frames, working_bytes
from ...progress import OnDone
from ...weights import shipped
from .run_times import shape_of, timed_stage


def shipped_refiner() -> Refiner:
    """The refiner that ships with PatchVSR; wherever ComfyUI keeps it now."""
    refiner: Refiner = _patcher(shipped("tiny_refiner.safetensors")).model
    return refiner


def run_refiner(
    frames: Tensor,
    source: Tensor,
    strength: float,
    detail: float,
    degradation: float,
    on_frames: OnDone | None = None,
    *,
    region: tuple[slice, slice] | None = None,
    path: Path | None = None,
) -> Tensor:
    """See :func:`finish.refine.refine_frames`; computes on ComfyUI's device and answers where ``frames`` are.

    Args:
        region: rows and columns, pixels: what lies outside is left as it is.
        path: file of the refiner; None: the one that ships and always runs.
    """
    patcher = _patcher(path or shipped("tiny_refiner.safetensors"))
    needed = working_bytes(patcher.model, len(frames), (int(frames.shape[1]), int(frames.shape[2])))
    comfy.model_management.load_models_gpu([patcher], memory_required=needed)
    refine = partial(
        refine_frames,
        patcher.model,
        frames,
        source,
        strength=strength,
        detail=detail,
        degradation=degradation,
        on_frames=on_frames,
    )
    if region is not None:
        return refine(region=region)
    with timed_stage("refine", **shape_of(frames)):
        return refine()


def _patcher(path: Path) -> Any:
    """Read anew when the file has changed."""
    return _read(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=2)
def _read(path: Path, changed_ns: int) -> Any:
    return comfy.model_patcher.ModelPatcher(
        load_refiner(path),
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
