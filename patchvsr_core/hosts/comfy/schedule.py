"""Where a sampler is in its schedule, by noise levels alone: it may call the model more often than it steps."""

from __future__ import annotations

import math
from typing import Any

import comfy.model_sampling
from torch import Tensor


def schedule_of(transformer_options: dict[str, Any]) -> Tensor | None:
    """(steps + 1,) noise levels of the run in progress, if the sampler gives them."""
    return transformer_options.get("sample_sigmas")


def position(sigma: Tensor, schedule: Tensor | None) -> tuple[int, int]:
    """(step, steps) of a noise level in the sampler's schedule."""
    if schedule is None:
        return 0, 1
    distance = (schedule[:-1].to(sigma) - sigma.max()).abs()
    return int(distance.argmin()), len(distance)


def is_flow(sampling: Any) -> bool:
    """Whether noise levels are those of a flow, (1 - sigma) clean + sigma noise; else they are clean + sigma noise."""
    return isinstance(sampling, comfy.model_sampling.CONST)


def to_flow(sampling: Any, sigma: float) -> float:
    """A model's noise level as that of a flow with as much noise for as much picture, 0 to 1."""
    return sigma if is_flow(sampling) else sigma / (1 + sigma)


def from_flow(sampling: Any, level: float) -> float:
    """The inverse of :func:`to_flow`; infinite at 1 where a model has no level of noise alone."""
    if is_flow(sampling):
        return level
    return level / (1 - level) if level < 1 else math.inf
