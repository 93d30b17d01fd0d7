"""Sampler functions: from the state at the first noise level to the one at the last."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def sample_euler(
    model: Any, x: Tensor, sigmas: Tensor, extra_args: Any = None, callback: Any = None, disable: Any = None
) -> Tensor:
    """First-order steps."""
    for step in range(len(sigmas) - 1):
        x0 = model(x, sigmas[step].expand(len(x)), **(extra_args or {}))
        if callback is not None:
            callback({"i": step, "denoised": x0, "x": x})
        x = x + (x - x0) / sigmas[step] * (sigmas[step + 1] - sigmas[step])
    return x


def sample_heun(
    model: Any, x: Tensor, sigmas: Tensor, extra_args: Any = None, callback: Any = None, disable: Any = None
) -> Tensor:
    """Second-order steps; the last one is first-order."""
    for step in range(len(sigmas) - 1):
        sigma, following = sigmas[step], sigmas[step + 1]
        x0 = model(x, sigma.expand(len(x)), **(extra_args or {}))
        if callback is not None:
            callback({"i": step, "denoised": x0, "x": x})
        slope = (x - x0) / sigma
        if following > 0:
            ahead = x + slope * (following - sigma)
            slope = (slope + (ahead - model(ahead, following.expand(len(x)), **(extra_args or {}))) / following) / 2
        x = x + slope * (following - sigma)
    return x
