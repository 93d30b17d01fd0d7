"""The shipped restorer under ComfyUI's memory management."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import comfy.model_management
import comfy.model_patcher
from torch import Tensor

from ...degradation import CLEAN, MeasuredDegradation
from ...devices import network_dtype
from ...plan.chunks import ChunkState
from ...progress import OnDone
from ...restorer.restore import Finish, restore_clip, working_bytes
from ...restorer.shipped import shipped_restorer
from ...settings import RESTORER
from .run_times import timed_stage


def run_restorer(
    frames: Tensor,
    size: tuple[int, int],
    *,
    detail: float,
    degradation: MeasuredDegradation = CLEAN,
    chunk_state: ChunkState | None = None,
    on_frames: OnDone | None = None,
    finish: Finish | None = None,
) -> Tensor:
    """See :func:`restorer.restore.restore_clip`; computes on ComfyUI's device and answers where ``frames`` are.

    Args:
        detail, degradation: see :func:`restorer.shipped.restore_as_shipped`.
    """
    patcher = _patcher(detail, degradation.is_compressed)
    needed = working_bytes(len(frames), (int(frames.shape[1]), int(frames.shape[2])))
    comfy.model_management.load_models_gpu([patcher], memory_required=needed)
    with timed_stage(RESTORER, len(frames), size):
        return restore_clip(
            patcher.model,
            frames,
            size,
            degradation=degradation.level,
            chunk_state=chunk_state,
            on_frames=on_frames,
            finish=finish,
        )


@lru_cache(maxsize=2)
def _patcher(detail: float, compressed: bool) -> Any:
    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(
        shipped_restorer(dtype=network_dtype(device), detail=detail, compressed=compressed),
        load_device=device,
        offload_device=comfy.model_management.unet_offload_device(),
    )
