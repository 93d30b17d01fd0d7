"""Devices: selection, free memory, timing."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import torch

from .errors import ModelError


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


def free_bytes(device: torch.device) -> int:
    """Free memory of a device in bytes; main memory for the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def time_warm_call(work: Callable[[], object]) -> float:
    """Time the second of two calls in seconds; the first one warms up."""
    time_call(work)
    return time_call(work)


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
