"""Rectified-flow sampling: flat solvers over a function that predicts x0.

A state at noise level sigma is x = (1 - sigma) x0 + sigma e, where e is Gaussian noise (flow from
noise, or from the noised input) or the upsampled LR input with a little noise (bridge). Given x0, one
step serves them all: x' = x0 + (sigma' / sigma) (x - x0). They differ only in where x starts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from ..errors import PlanError
from ..settings.settings import SEEDS
from ..vae.encode import seeded_noise

Control = TypeVar("Control", contravariant=True)
"""What a denoiser is given about a batch of patches; for the headless host a ``PatchControl``."""


class Denoiser(Protocol[Control]):
    """A base model on a batch of patches."""

    def __call__(self, x: Tensor, sigma: Tensor, control: Control) -> list[Tensor]:
        """x0 per condition (positive, then negative if there is one).

        Args:
            x: (N, C, t, h, w) states.
            sigma: scalar noise level.
            control: what is known about these N patches.
        """


Model = Callable[[Tensor, Tensor, int], Tensor]
"""(x, sigma, step) on the whole canvas to x0."""

OnStep = Callable[[int, Tensor, Tensor], None]
"""Called after each step with (step, x0, x); raise from it to stop."""

Solve = Callable[..., Tensor]
"""(model, x at the first noise level, noise levels, on_step) to the state at the last level; a solver that draws noise
is given its seed too."""
STEP_STREAM = 1_000_003
"""Between the seeds of runs, so that they have no step's noise in common."""
MOST_NOISE = 1 - 1e-6
"""Noise level above which the logarithm of signal to noise is that of this one."""


@dataclass(frozen=True)
class Solver:
    """A way to sample, and what others need of it."""

    solve: Solve
    look_ahead: bool = False
    """Whether every step but the last also calls the model at the noise level to which it leads."""
    stochastic: bool = False
    """Whether a part of the noise can be replaced at every step; see :func:`input_guidance.ancestral_euler`."""
    seeded: bool = False
    """Whether it draws noise of its own at every step, so that none of a state lives on unchanged in the next."""


def sigma_schedule(steps: int, *, shift: float = 1.0, start: float = 1.0) -> Tensor:
    """Noise levels from ``start`` to 0, (steps + 1,).

    Args:
        shift: spends more steps at high noise when above 1: s -> shift s / (1 + (shift - 1) s).
        start: first level; below 1 the run starts from the noised input.

    Raises:
        PlanError: for values out of range.
    """
    if steps < 1:
        raise PlanError(f"{steps} steps cannot sample; use at least 1.")
    check_start(start)
    if shift <= 0:
        raise PlanError(f"A schedule shift of {shift} is out of range; it must be positive.")
    unshifted = start / (shift - (shift - 1) * start)
    s = torch.linspace(unshifted, 0, steps + 1)
    return shift * s / (1 + (shift - 1) * s)


def check_start(start: float) -> None:
    """Raise unless a run can start at a noise level.

    Raises:
        PlanError: when it is not above 0 and up to 1.
    """
    if not 0 < start <= 1:
        raise PlanError(f"A start at noise level {start} is out of range; it must lie above 0 and up to 1.")


def next_level(sigma: Tensor | float, levels: Tensor) -> float | None:
    """The noise level of a schedule to which a step from ``sigma`` leads; None below the last one."""
    return max((float(level) for level in levels if level < sigma), default=None)


def start_flow(latent: Tensor, noise: Tensor, sigma: Tensor | float) -> Tensor:
    """The noised input, (1 - sigma) z + sigma eps; pure noise at sigma = 1."""
    return (1 - sigma) * latent + sigma * noise


def start_bridge(latent: Tensor, noise: Tensor, sigma: Tensor | float, noise_scale: float) -> Tensor:
    """The input with a little noise, z + sigma s eps: the far end of a bridge."""
    return latent + sigma * noise_scale * noise


def euler(model: Model, x: Tensor, sigmas: Tensor, on_step: OnStep | None = None) -> Tensor:
    """First-order solver; one model call per step."""
    for step, (sigma, following) in enumerate(itertools.pairwise(sigmas)):
        x0 = model(x, sigma, step)
        x = torch.lerp(x0, x, float(following / sigma))
        if on_step:
            on_step(step, x0, x)
    return x


def heun(model: Model, x: Tensor, sigmas: Tensor, on_step: OnStep | None = None) -> Tensor:
    """Second-order solver: averages the slopes at both ends; two calls per step, one at the last."""
    for step, (sigma, following) in enumerate(itertools.pairwise(sigmas)):
        x0 = model(x, sigma, step)
        slope = (x - x0) / sigma
        ahead = x + (following - sigma) * slope
        if following > 0:
            slope = (slope + (ahead - model(ahead, following, step + 1)) / following) / 2
            x = x + (following - sigma) * slope
        else:
            x = ahead
        if on_step:
            on_step(step, x0, x)
    return x


def noise_seed(seed: int, step: int) -> int:
    """Of the noise of a step; runs with neighbouring seeds have none in common."""
    return (seed * STEP_STREAM + step + 1) % SEEDS


def dpmpp_2m_sde(
    model: Model, x: Tensor, sigmas: Tensor, on_step: OnStep | None = None, *, seed: int = 0, eta: float = 1.0
) -> Tensor:
    """DPM-Solver++ (2M) for the diffusion SDE, with the midpoint rule; one model call per step.

    With l = log((1 - sigma) / sigma), h = l' - l and r = (the h before) / h:
    x' = sigma' / sigma exp(-eta h) x + (1 - sigma') (1 - exp(-(1 + eta) h)) (x0 + (x0 - x0 before) / (2 r))
    + sigma' sqrt(1 - exp(-2 eta h)) n. It depends on the ratio of signal to noise alone, so that with the noise levels
    of :func:`schedules.star_schedule` it is STAR's sampler, which is variance-preserving and has eta = 1.

    Args:
        seed: of the noise.
        eta: 0: no noise is drawn.

    Source: Lu et al., DPM-Solver++ (2022), algorithm of section 5; k-diffusion for eta.
    """
    before: Tensor | None = None
    ratio = ((1 - sigmas.double().clamp(max=MOST_NOISE)) / sigmas.double()).log()
    steps = ratio.diff().tolist()
    for step, (sigma, following) in enumerate(itertools.pairwise(sigmas)):
        x0, h = model(x, sigma, step), steps[step]
        if following == 0:
            x = x0
        else:
            target = x0 if before is None else x0 + (x0 - before) * (h / (2 * steps[step - 1]))
            kept, gained = math.exp(-eta * h), -math.expm1(-(1 + eta) * h)
            x = float(following / sigma) * kept * x + (1 - float(following)) * gained * target
            if eta:
                drawn = seeded_noise(x.shape, noise_seed(seed, step)).to(x)
                x = x + float(following) * (-math.expm1(-2 * eta * h)) ** 0.5 * drawn
        before = x0
        if on_step:
            on_step(step, x0, x)
    return x


SOLVERS = {
    "euler": Solver(euler, stochastic=True),
    "heun": Solver(heun, look_ahead=True),
    "dpmpp_2m_sde": Solver(dpmpp_2m_sde, seeded=True),
}


def apply_guidance(predictions: list[Tensor], scale: float, rescale: float = 0.0, x: Tensor | None = None) -> Tensor:
    """Classifier-free guidance on x0: negative + scale (positive - negative).

    Args:
        rescale: see :func:`rescale_guidance`; 0 is off.
        x: the state that was predicted from, (N, ...); only a rescale needs it.
    """
    if len(predictions) == 1 or scale == 1:
        return predictions[0]
    positive, negative = predictions
    x0 = negative + scale * (positive - negative)
    if rescale == 0:
        return x0
    assert x is not None, "velocities are rescaled, and they depend on the state"
    return rescale_guidance(x0, positive, x, rescale)


def rescale_guidance(x0: Tensor, positive: Tensor, x: Tensor, rescale: float) -> Tensor:
    """Bring a guided velocity back to the standard deviation of the positive one, sample by sample.

    Guidance oversaturates less with it; STAR (ICCV 2025) has 0.2. The velocity is (x - x0) / sigma,
    and sigma cancels. Source: Lin et al., Common Diffusion Noise Schedules (WACV 2024), eq. 15 and 16.

    Args:
        rescale: 0 (not at all) to 1 (all the way).
    """
    ratio = _deviation(x - positive) / _deviation(x - x0).clamp(min=1e-12)
    return x - (x - x0) * (rescale * ratio + 1 - rescale)


def _deviation(x: Tensor) -> Tensor:
    """Standard deviation of every sample, (N, 1, ...)."""
    return x.std(dim=tuple(range(1, x.ndim)), keepdim=True)
