"""Dynamic frequency loss: coarse structure while there is much noise, detail towards the end.

Source: STAR (ICCV 2025), with rectified flow's noise level instead of t / 999.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Bands = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(..., H, W) planes to their low and high frequencies, each (..., H, W // 2 + 1, 2): real and imaginary parts."""

CUTOFF = 0.25
"""End of the low frequencies as a part of Nyquist's; the paper does not say its own."""


def dynamic_frequency(
    x0: Tensor, truth: Tensor, sigma: Tensor | float, *, exponent: float = 2.0, bands: str = "radial"
) -> Tensor:
    """c L_low + (1 - c) L_high with c = sigma ** exponent; either is the mean L1 of Fourier coefficients.

    The transform is not normalised, as in STAR: a weight belongs to a size of frame.

    Args:
        x0, truth: (..., H, W) planes, of latents or of frames.
        sigma: noise level of the state that ``x0`` was predicted from, [0, 1].
        bands: ``radial`` (the paper) or ``star_release`` (its published code).
    """
    split = BANDS[bands]
    low, high = (
        (ours - theirs).abs().mean() for ours, theirs in zip(split(x0.float()), split(truth.float()), strict=True)
    )
    c = sigma**exponent
    return c * low + (1 - c) * high


def weighted_frequency(x0: Tensor, truth: Tensor, sigma: Tensor | float, weight: float, **choices: Any) -> Tensor:
    """The term of an objective: the less noise, the more it counts; 0 without a weight."""
    if weight == 0:
        return x0.new_zeros(())
    return weight * (1 - sigma) * dynamic_frequency(x0, truth, sigma, **choices)


def radial(planes: Tensor, cutoff: float = CUTOFF) -> tuple[Tensor, Tensor]:
    """Low frequencies are those within a circle of radius ``cutoff``."""
    height, width = planes.shape[-2:]
    rows = torch.fft.fftfreq(height, 0.5, device=planes.device)
    columns = torch.fft.rfftfreq(width, 0.5, device=planes.device)
    inside = (torch.hypot(rows[:, None], columns) <= cutoff)[..., None]
    spectrum = torch.view_as_real(torch.fft.rfft2(planes.contiguous()))
    return spectrum * inside, spectrum * ~inside


def star_release(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Weak and strong coefficients, under the names of low and high that STAR's code gives them.

    sigmoid(10 (q - |F|)) with q the 0.8 quantile of all magnitudes: a threshold of strength, not of
    frequency, which counts the mean as high. Only to reproduce.
    """
    spectrum = torch.fft.rfft2(planes.contiguous())
    magnitude = spectrum.abs()
    weak = (10 * (magnitude.flatten().quantile(0.8) - magnitude)).sigmoid()[..., None]
    parts = torch.view_as_real(spectrum)
    return weak * parts, (1 - weak) * parts


BANDS: dict[str, Bands] = {"radial": radial, "star_release": star_release}
