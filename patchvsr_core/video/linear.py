"""Floating-point images, which hold linear light: OpenEXR as renderers write it."""

from __future__ import annotations

import av
import numpy as np
import torch
from torch import Tensor

from .picture import is_float

LARGEST_HALF = 65504.0
"""The brightest light that an EXR of half-floats holds."""


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


def _planes(frame: av.VideoFrame) -> list[np.ndarray]:
    kind = np.dtype("<f2" if "f16" in frame.format.name else "<f4")
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        used = np.ascontiguousarray(rows[:, : plane.width * kind.itemsize])
        planes.append(used.view(kind).astype(np.float32))
    return planes
