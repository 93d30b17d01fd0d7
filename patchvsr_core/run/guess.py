"""How long a run takes at least where nothing was timed yet: a guess, good enough to point out one of hours.

It counts the arithmetic of the two parts that take most of the time, the smallest transformer of a family and the
restorer, and divides it by what a common device of its kind computes. What is left out makes a run longer.
"""

from __future__ import annotations

from collections.abc import Collection

import torch

from ..adapter.config import BaseSpec
from ..settings import RESTORER
from .throughput import Work

THREAD_SPEED = 5e10
"""Operations per second of one CPU thread: what the base of the tiny default reaches."""
MULTIPROCESSOR_SPEED = 4e11
"""Operations per second of a multiprocessor of a CUDA GPU."""
OTHER_SPEED = 5e12
"""Operations per second of any other device."""
RESTORING = 5.5e10
"""Operations of the restorer for a megapixel of the result, as many as a thread does at :data:`THREAD_SPEED` while it
restores one in bfloat16; in single precision it takes almost twice as long."""


def device_speed(device: torch.device) -> float:
    """Operations per second that networks may reach on a device."""
    if device.type == "cpu":
        return THREAD_SPEED * torch.get_num_threads()
    if device.type == "cuda":
        return MULTIPROCESSOR_SPEED * torch.cuda.get_device_properties(device).multi_processor_count
    return OTHER_SPEED


def least_seconds(work: Work, bases: Collection[BaseSpec], speed: float) -> float | None:
    """How long some work takes at least; None where what takes most of it cannot be counted.

    Args:
        bases: transformers of which any may be meant.
        speed: of the device, in operations per second.
    """
    operations = RESTORING * work.pixels / 1e6 if work.base_layer == RESTORER else 0.0
    if work.evaluations:
        if not bases:
            return None
        operations += work.evaluations * min(evaluation(base, work.tokens) for base in bases)
    return operations / speed if operations else None


def evaluation(base: BaseSpec, tokens: int) -> float:
    """Operations of one evaluation of a patch: two for each weight that a token meets, and attention between tokens."""
    weights = 6 * base.width**2 + 2 * base.width * base.ffn  # of attention to the patch and to the prompt, and after
    return base.layers * tokens * (2 * weights + 4 * tokens * base.width)
