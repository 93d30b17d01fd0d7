"""Where a sampler is in its schedule, by noise levels alone: it may call the model more often than it steps."""

from __future__ import annotations

from typing import Any

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
