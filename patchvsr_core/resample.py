"""Bicubic resampling: the one definition of up- and downsampling that the whole project uses.

Keys' cubic with a = -1/2, anti-aliased when downsampling, half-pixel centres: equal to Pillow and
to torch's ``antialias=True``. Windows of an upsampled frame are computed on their own, so that the cost
of a tile of a 4K canvas is that of a tile.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .plan.canvas import Canvas

PIXELS_PER_BATCH = 2**22


def frames_per_batch(size: tuple[int, int]) -> int:
    """Number of frames of (height, width) to process at a time, to limit memory."""
    return max(1, PIXELS_PER_BATCH // (size[0] * size[1]))


def resize(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (T, H, W, C) frames to ``size`` = (height, width); values may overshoot [0, 1]."""
    if tuple(frames.shape[1:3]) == tuple(size):
        return frames
    planes = frames.movedim(-1, 1).float()
    return F.interpolate(planes, size=size, mode="bicubic", antialias=True).movedim(1, -1).to(frames)


def upsample_window(frames: Tensor, canvas: Canvas, rows: slice, columns: slice) -> Tensor:
    """Upsample a window of the padded canvas from the input.

    Args:
        frames: (T, h, w, C) input clip of the canvas, any range.
        rows, columns: window of the padded canvas, in pixels. Beyond the output the frame is
            reflected; beyond the clip its last frame is repeated.

    Returns:
        (padded T, rows, columns, C), equal to the window of the whole upsampled clip.
    """
    vertical = _window_matrix(canvas.source[0], canvas.target[0], rows.start, rows.stop)
    horizontal = _window_matrix(canvas.source[1], canvas.target[1], columns.start, columns.stop)
    y, x = vertical.reach, horizontal.reach
    index = torch.arange(canvas.padded_frames, device=frames.device).clamp(max=len(frames) - 1)
    window = frames[:, y, x].to(torch.float32)
    vertical_matrix = vertical.matrix.to(window.device)
    horizontal_matrix = horizontal.matrix.to(window.device)
    upsampled = torch.einsum("yh,thwc,xw->tyxc", vertical_matrix, window, horizontal_matrix)
    return upsampled if len(index) == len(upsampled) else upsampled[index]


class _WindowMatrix:
    """Rows of a resampling matrix, restricted to the input range that they use."""

    def __init__(self, weights: np.ndarray) -> None:
        used = np.flatnonzero(np.abs(weights).sum(axis=0))
        self.reach = slice(int(used[0]), int(used[-1]) + 1)
        self.matrix = torch.from_numpy(weights[:, self.reach].astype(np.float32))


@lru_cache(maxsize=256)
def _window_matrix(length: int, target: int, start: int, stop: int) -> _WindowMatrix:
    rows = reflect_index(np.arange(start, stop), target)
    scale = length / target
    support = 2.0 * max(scale, 1.0)
    centres = (rows + 0.5) * scale
    distance = (np.arange(length) + 0.5)[None, :] - centres[:, None]
    weights = _keys_cubic(distance / max(scale, 1.0)) * (np.abs(distance) < support)
    return _WindowMatrix(weights / weights.sum(axis=1, keepdims=True))


def reflect_index(index: np.ndarray, length: int) -> np.ndarray:
    """Reflect indices outside [0, length) at the first and last element, repeatedly if needed."""
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    folded = np.mod(index, period)
    return np.where(folded < length, folded, period - folded)


def _keys_cubic(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
