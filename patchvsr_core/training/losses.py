"""Losses on (..., T, H, W, 3) frames in [0, 1]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def charbonnier(x: Tensor, y: Tensor, eps: float = 1e-3) -> Tensor:
    """Mean of sqrt(d^2 + eps^2): an L1 that is smooth at zero."""
    return ((x - y).square() + eps * eps).sqrt().mean()


def spectrum(x: Tensor, y: Tensor) -> Tensor:
    """Mean L1 between the 2-D Fourier coefficients, orthonormal."""
    difference = torch.fft.rfft2((x - y).float(), dim=(-3, -2), norm="ortho")
    return torch.view_as_real(difference).abs().mean()


def shape(x: Tensor, y: Tensor, spectrum_weight: float, motion_weight: float) -> Tensor:
    """Weighted sum of :func:`spectrum` and :func:`motion`."""
    return spectrum_weight * spectrum(x, y) + motion_weight * motion(x, y)


def detail(x: Tensor, y: Tensor, cell: int = 16) -> Tensor:
    """How far the fine detail of ``x`` is from being as strong as that of ``y``, cell by cell.

    Mean absolute log ratio of the gradient energies of square cells, so it constrains the amount of
    detail and not its position.
    """
    levels = []
    for frames in (x, y):
        planes = frames.float().flatten(0, -4).movedim(-1, 1)
        energy = planes.diff(dim=-1)[..., :-1, :].square() + planes.diff(dim=-2)[..., :-1].square()
        levels.append((F.avg_pool2d(energy.sum(1, keepdim=True), cell) + (2 / 255) ** 2).log())
    return (levels[0] - levels[1]).abs().mean()


def motion(x: Tensor, y: Tensor) -> Tensor:
    """Charbonnier between the differences of successive frames; 0 for a single frame."""
    if x.shape[-4] < 2:
        return x.new_zeros(())
    return charbonnier(x.diff(dim=-4), y.diff(dim=-4))


def change(x: Tensor, y: Tensor) -> Tensor:
    """Mean square between the differences of successive frames (RDG's); 0 for a single frame."""
    if x.shape[-4] < 2:
        return x.new_zeros(())
    return (x.diff(dim=-4) - y.diff(dim=-4)).square().mean()
