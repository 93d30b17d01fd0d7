"""Devices: selection, precision, free memory, timing."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

import psutil
import torch

from .errors import ModelError

AUTO = "auto"
PRECISIONS = (AUTO, "float32", "bfloat16")
MOST_TIMINGS, TIMING_SECONDS = 3, 0.5
"""Of one piece of work: it is timed so often, or until it took so long."""
AMPERE = (8, 0)
"""Compute capability of the first CUDA GPUs that compute in bfloat16."""


def resolve_device(name: str) -> torch.device:
    """Get a torch device by name; ``auto`` is a CUDA GPU if there is one, otherwise the CPU.

    Raises:
        ModelError: when the device is not usable.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"Device {name!r} is not usable; choose cpu, or a GPU that this version of torch supports."
        ) from error
    return device


def network_dtype(device: torch.device, precision: str = AUTO, *, gpu: torch.dtype | None = None) -> torch.dtype:
    """The precision in which networks compute; colours, back-projection, flow and sums over patches stay float32.

    Args:
        precision: one of :data:`PRECISIONS`; ``auto`` is bfloat16 on CPUs that compute in it, ``gpu`` on GPUs, and
            float32 elsewhere. Other CPUs take several times as long in bfloat16.
        gpu: half precision that suits the network; None: bfloat16 where the GPU computes in it, otherwise float32.
    """
    if precision != AUTO:
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if gpu is not None and device.type != "cpu":
        return gpu
    return torch.bfloat16 if computes_in_bfloat16(device) else torch.float32


@lru_cache
def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16: AVX512-BF16 or AMX on a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= AMPERE
    if device.type != "cpu":
        return False
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private; newer than the oldest torch that works
    return any(bool(getattr(torch.cpu, name, bool)()) for name in known)


def precision_name(dtype: torch.dtype) -> str:
    """What ``--precision`` and journals call a precision, such as ``bfloat16``."""
    return str(dtype).removeprefix("torch.")


def free_bytes(device: torch.device) -> int:
    """Free memory of a device in bytes; main memory for the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def time_warm_call(work: Callable[[], object]) -> float:
    """Time a call in seconds after one that warms up: the fastest of a few, where they are short; moments are busy."""
    time_call(work)
    times = [time_call(work)]
    while len(times) < MOST_TIMINGS and sum(times) < TIMING_SECONDS:
        times.append(time_call(work))
    return min(times)


def time_call(work: Callable[[], object]) -> float:
    """Time one call in seconds, including its work on a GPU."""
    synchronise()
    start = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - start


def synchronise() -> None:
    """Wait for all work on the GPU; does nothing where CUDA is not in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
