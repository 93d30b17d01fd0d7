"""How long a piece of work takes."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds of the second of two calls; the first one warms up."""
    seconds_once(work)
    return seconds_once(work)


def seconds_once(work: Callable[[], object]) -> float:
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
