"""Where the work is done, what is free there, and how long work takes."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import torch

from .errors import ModelError


def resolve_device(name: str) -> torch.device:
    """A torch device; ``auto`` is a CUDA GPU if there is one, otherwise the CPU.

    Raises:
        ModelError: when it does not work here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"Device {name!r} is not usable here; choose cpu, or a GPU that this torch supports."
        ) from error
    return device


def free_bytes(device: torch.device) -> int:
    """Memory that is free where the work is done."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def time_warm_call(work: Callable[[], object]) -> float:
    """Seconds of the second of two calls; the first one warms up."""
    time_call(work)
    return time_call(work)


def time_call(work: Callable[[], object]) -> float:
    """Seconds of one call, until a GPU is done with it too."""
    synchronise()
    start = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - start


def synchronise() -> None:
    """Wait until a GPU has done all that it was told; nothing where none is in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
