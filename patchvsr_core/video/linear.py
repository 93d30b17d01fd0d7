"""Floating-point images, which hold linear light: OpenEXR as renderers write it.

Their colours are multiplied by alpha (premultiplied, or associated), where those of PNG and video are straight. Source:
the OpenEXR documentation, "Technical Introduction" (alpha).
"""

from __future__ import annotations

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .picture import is_float

LARGEST_HALF = 65504.0
"""The brightest light that an EXR of half-floats holds."""
BLEED = 4
"""Pixels around a subject whose colour is taken from it, as far as an upscaler looks."""


def is_finite(frame: av.VideoFrame) -> bool:
    """Whether no pixel of a decoded frame is NaN or Inf; always so of integers."""
    return not is_float(frame.format) or all(bool(np.isfinite(plane).all()) for plane in _planes(frame))


def linear_pixels(frame: av.VideoFrame) -> Tensor:
    """A floating-point frame as (H, W, 3 or 4) float32, with numbers alone; read without swscale, which clips lights.

    Renderers write NaN where a division failed, and Inf where a light was too bright for the format. The first is
    black, as nothing is known of it; the second the brightest light that half-floats hold, so that it stays a light.
    """
    planes = _planes(frame)
    order = {1: [0, 0, 0], 3: [2, 0, 1], 4: [2, 0, 1, 3]}[len(planes)]  # planes are in the order G, B, R, A
    pixels = torch.from_numpy(np.stack([planes[k] for k in order], -1))
    return pixels.nan_to_num_(0.0, posinf=LARGEST_HALF, neginf=0.0)


def to_straight(pixels: Tensor) -> Tensor:
    """Divide the colours of premultiplied (H, W, 4) in linear light by alpha, which is limited to [0, 1].

    Where alpha is 0, light that a renderer adds to what is behind (a flame, a glow) stays as it is. Black there says
    nothing; up to :data:`BLEED` pixels around the subject it becomes the subject's colour, which keeps upscalers from
    blending it into a dark fringe.
    """
    alpha = pixels[..., 3:].clamp(0, 1)
    colors = (pixels[..., :3] / alpha.where(alpha > 0, 1.0)).clamp(max=LARGEST_HALF)
    is_known = (alpha > 0) | (colors > 0).any(-1, keepdim=True)
    return torch.cat([colors if is_known.all() else _bleed(colors, is_known), alpha], -1)


def to_premultiplied(pixels: Tensor) -> Tensor:
    """Multiply the colours of straight (H, W, 4) in linear light by alpha."""
    return torch.cat([pixels[..., :3] * pixels[..., 3:], pixels[..., 3:]], -1)


def _bleed(colors: Tensor, is_known: Tensor) -> Tensor:
    """(H, W, 3) with pixels that are not known as the mean of known neighbours, ring by ring."""
    weighted = torch.cat([colors, is_known.to(colors)], -1).permute(2, 0, 1)
    for _ in range(BLEED):
        sums = functional.avg_pool2d(weighted, 3, 1, 1)
        weighted = weighted.where(weighted[3:] > 0, sums / sums[3:].clamp(min=1e-6))
        weighted[3:] = (weighted[3:] > 0).to(colors)
    return weighted[:3].permute(1, 2, 0)


def _planes(frame: av.VideoFrame) -> list[np.ndarray]:
    kind = np.dtype("<f2" if "f16" in frame.format.name else "<f4")
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        used = np.ascontiguousarray(rows[:, : plane.width * kind.itemsize])
        planes.append(used.view(kind).astype(np.float32))
    return planes
