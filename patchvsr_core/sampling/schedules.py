"""The noise levels of a run, those of published samplers in the terms of a rectified flow.

A variance-preserving state a x0 + s eps with a = sqrt(1 - s^2) is (a + s) times the rectified-flow
state of the same signal-to-noise ratio, whose noise level is s / (a + s).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..settings import Settings
from .solvers import check_start, sigma_schedule

TIMESTEPS = 1000
START = 899
"""The time step at which STAR starts from its noised input."""
COARSE = 4
"""Steps of STAR's fast list above its middle, and ..."""
MIDDLE, FINE = 500, 11
"""... time step of the middle, and steps below it."""


def noise_levels(settings: Settings) -> Tensor:
    """(steps + 1,) from the first noise level to 0."""
    if settings.schedule == "star":
        return star_schedule(settings.start if settings.start < 1 else None)
    return sigma_schedule(settings.steps, shift=settings.shift, start=settings.start)


def step_count(settings: Settings) -> int:
    """Steps of a run from its first noise level to 0; STAR's schedule brings its own."""
    if settings.schedule == "star" and settings.start > 0:
        return len(noise_levels(settings)) - 1
    return settings.steps


def star_sigmas() -> Tensor:
    """(1000,) variance-preserving noise levels of STAR, the least first.

    A cosine schedule whose log signal-to-noise ratio is clipped to -15 ... 15, shifted by 2 ln(1/2)
    at the clean end and 2 ln(1/4) at the noisy one. In float32 the last is 1: no signal is left.
    Source: STAR (ICCV 2025), after VEnhancer.
    """
    return _log_snr().neg().sigmoid().sqrt().float()


def star_fast_steps() -> Tensor:
    """(15,) time steps of STAR's fast mode, from 899 down."""
    above = START - torch.arange(COARSE, dtype=torch.float64) * (START - MIDDLE + 1) / COARSE
    below = MIDDLE - torch.arange(FINE, dtype=torch.float64) * (MIDDLE + 1) / FINE
    return torch.cat([above, below]).float()


def star_schedule(start: float | None = None) -> Tensor:
    """Noise levels of STAR's fast mode for the solvers of a rectified flow, ending in 0.

    As in STAR the last of its steps is left out: 14 model calls from its own start.

    Args:
        start: first level; the levels of STAR that lie below it follow. None: STAR's own, time step 899.

    Raises:
        PlanError: for a start out of range.
    """
    levels = _flow_level(star_fast_steps()[:-1])
    if start is not None:
        check_start(start)
        first = torch.tensor([start])
        levels = torch.cat([first, levels[levels < first]])
    return torch.cat([levels, torch.zeros(1)])


def _log_snr() -> Tensor:
    """(1000,) natural logarithm of the squared ratio of signal to noise, falling."""
    nearest, furthest = (math.atan(math.exp(-bound / 2)) for bound in (15, -15))
    position = torch.linspace(0, 1, TIMESTEPS, dtype=torch.float64)
    cosine = -2 * (nearest + position * (furthest - nearest)).tan().log()
    return cosine + (1 - position) * 2 * math.log(1 / 2) + position * 2 * math.log(1 / 4)


def _flow_level(steps: Tensor) -> Tensor:
    """Rectified-flow noise levels at time steps; the logarithm of s / a is linear between whole ones."""
    log_ratio = _log_snr() / -2
    whole = steps.long().clamp(max=TIMESTEPS - 2)
    between = torch.lerp(log_ratio[whole], log_ratio[whole + 1], steps.double() - whole)
    return between.sigmoid().float()
