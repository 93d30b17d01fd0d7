"""The sRGB curve (IEC 61966-2-1) between scene-linear and display-referred values, and luma."""

from __future__ import annotations

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (BT.601)."""


def to_display(linear: Tensor) -> Tensor:
    """The sRGB curve, extended above 1; negative values become 0."""
    positive = linear.clamp(min=0)
    return torch.where(positive <= 0.0031308, 12.92 * positive, 1.055 * positive ** (1 / 2.4) - 0.055)


def to_linear(display: Tensor) -> Tensor:
    """The inverse of :func:`to_display`, extended above 1 and below 0."""
    return torch.where(display <= 0.04045, display / 12.92, ((display.clamp(min=0) + 0.055) / 1.055) ** 2.4)
