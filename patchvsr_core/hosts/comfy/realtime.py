"""Real-time networks under ComfyUI's memory management."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import torch
from torch import Tensor

from ...devices import network_dtype
from ...errors import ModelError
from ...files import sha256
from ...progress import OnDone
from ...realtime.gbuffers import RenderPasses
from ...realtime.optimize import prepare
from ...realtime.upscaler import FastUpscaler, load_network, network_path
from ...run.alpha import with_extras
from ...video.shot_detection import detect_cuts
from .progress import Progress
from .run_times import timed_stage

TITLES = {"dap": "DAP Upscale", "rdg": "RDG Upscale"}
"""Nodes that run a kind of network."""


def run_fast(
    network: str | Path,
    kind: str,
    frames: Tensor,
    target: tuple[int, int],
    passes: RenderPasses = RenderPasses(),
    *,
    find_cuts: bool,
) -> Tensor:
    """Upscale a clip on ComfyUI's device, with a progress bar, until the user cancels.

    Args:
        network: name or file, see :func:`realtime.upscaler.load_fast`.
        kind: what it has to be: ``dap`` or ``rdg``.
        frames: (T, h, w, 3 or 4); transparency is upsampled beside the network.
        target: (height, width) of the result.
        find_cuts: whether to forget everything where a new shot begins.

    Returns:
        (T, *target, 3 or 4) where ``frames`` are.

    Raises:
        ModelError, MediaError: in one sentence.
    """
    upscaler = load_realtime(network, (int(frames.shape[1]), int(frames.shape[2])))
    if upscaler.name != kind:
        name = network_path(network).name
        raise ModelError(f"{name} is a network of {TITLES[upscaler.name]}; use that node, or choose another file.")
    cuts = detect_cuts(frames) if find_cuts else ()
    return with_extras(partial(upscaler.upscale, passes=passes, cuts=cuts, on_frame=Progress()), frames, target)


def run_fast_base(name: str, frames: Tensor, size: tuple[int, int], *, on_frame: OnDone | None = None) -> Tensor:
    """Upscale a clip by a shipped network for the base layer; computes on ComfyUI's device.

    Args:
        name: ``dap`` or ``rdg``.
        frames: (T, h, w, 3) in [0, 1].
        size: (height, width) of the result.
    """
    upscaler = load_realtime(name, (int(frames.shape[1]), int(frames.shape[2])))
    with timed_stage(name, len(frames), size):
        return upscaler.upscale(frames, size, on_frame=on_frame)


def load_realtime(network: str | Path, source: tuple[int, int]) -> FastUpscaler:
    """A network on ComfyUI's device, with room for frames of (height, width) ``source``."""
    device = comfy.model_management.get_torch_device()
    is_half = comfy.model_management.should_use_fp16(device)
    dtype = torch.float16 if is_half else network_dtype(device, gpu=torch.float32)
    path = network_path(network)
    patcher = _read(path, path.stat().st_mtime_ns if path.is_file() else 0, dtype)
    upscaler = FastUpscaler(patcher.model, device=device, dtype=dtype, identity=sha256(path))
    comfy.model_management.load_models_gpu([patcher], memory_required=upscaler.working_bytes(source))
    return upscaler


@lru_cache(maxsize=2)
def _read(path: Path, changed_ns: int, dtype: torch.dtype) -> Any:
    """Read anew when the file has changed."""
    return comfy.model_patcher.ModelPatcher(
        prepare(load_network(path), device="cpu", dtype=dtype),
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
