"""Losses on (..., T, H, W, 3) frames in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor


def charbonnier(x: Tensor, y: Tensor, eps: float = 1e-3) -> Tensor:
    """Mean of sqrt(d^2 + eps^2): an L1 that is smooth at zero."""
    return ((x - y).square() + eps * eps).sqrt().mean()


def spectrum(x: Tensor, y: Tensor) -> Tensor:
    """Mean L1 between the 2-D Fourier coefficients, orthonormal."""
    difference = torch.fft.rfft2((x - y).float(), dim=(-3, -2), norm="ortho")
    return torch.view_as_real(difference).abs().mean()


def motion(x: Tensor, y: Tensor) -> Tensor:
    """Charbonnier between the differences of successive frames; 0 for a single frame."""
    if x.shape[-4] < 2:
        return x.new_zeros(())
    return charbonnier(x.diff(dim=-4), y.diff(dim=-4))
