"""sRGB to CIELAB and back (D65), for pictures (T, C, H, W) in [0, 1]. Source: IEC 61966-2-1, CIE 15."""

from __future__ import annotations

import torch
from torch import Tensor

from ..srgb import to_display, to_linear

TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
"""Linear sRGB to XYZ; its rows add up to the white point."""
DELTA = 6 / 29
"""Below it the cube root is replaced by a line."""


def to_lab(rgb: Tensor) -> Tensor:
    """L in 0 to 100, a and b around 0."""
    linear = to_linear(rgb)
    x, y, z = _cube_root(_mix(_matrix(rgb) / _white(rgb), linear)).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def from_lab(lab: Tensor) -> Tensor:
    """The inverse of :func:`to_lab`, clipped to [0, 1]."""
    light, a, b = lab.unbind(1)
    y = (light + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], 1)
    scaled = torch.where(f > DELTA, f**3, 3 * DELTA**2 * (f - 4 / 29))
    linear = _mix(torch.linalg.inv(_matrix(lab) / _white(lab)), scaled)
    return to_display(linear).clamp(0, 1)


def _cube_root(t: Tensor) -> Tensor:
    return torch.where(t > DELTA**3, t.clamp(min=0) ** (1 / 3), t / (3 * DELTA**2) + 4 / 29)


def _mix(matrix: Tensor, planes: Tensor) -> Tensor:
    return torch.einsum("ij,tjhw->tihw", matrix, planes)


def _matrix(like: Tensor) -> Tensor:
    return torch.tensor(TO_XYZ, device=like.device, dtype=like.dtype)


def _white(like: Tensor) -> Tensor:
    return _matrix(like).sum(1, keepdim=True)
