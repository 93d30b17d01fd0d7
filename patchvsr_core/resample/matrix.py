"""Matrices of bicubic resampling, and products with them, which are several times as fast as interpolation on a CPU.

A row of such a matrix holds the weights of one result; only a band of them is not 0. A product goes over blocks of
rows, each with the part of the input that it uses.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

BLOCK = 16
"""Rows of a block, of the smaller of the two sides: larger ones multiply by more zeros, smaller ones are more calls."""
LARGEST_BLOCK = 128
ALIGNED = 16
"""Values to whose multiples frames are aligned: how products are rounded depends on it in some libraries."""


class WindowMatrix:
    """Rows of a resampling matrix, restricted to the input range that they use."""

    def __init__(self, weights: np.ndarray) -> None:
        used = np.flatnonzero(np.abs(weights).sum(axis=0))
        self.reach = slice(int(used[0]), int(used[-1]) + 1)
        self.matrix = torch.from_numpy(weights[:, self.reach].astype(np.float32))


def make_window_matrix(length: int, target: int, start: int, stop: int) -> WindowMatrix:
    """Weights of the results from ``start`` to ``stop`` of resampling ``length`` values to ``target``.

    Beyond the result its values are reflected.
    """
    rows = reflect_index(np.arange(start, stop), target)
    scale = length / target
    support = 2.0 * max(scale, 1.0)
    centres = (rows + 0.5) * scale
    distance = (np.arange(length) + 0.5)[None, :] - centres[:, None]
    weights = _keys_cubic(distance / max(scale, 1.0)) * (np.abs(distance) < support)
    return WindowMatrix(weights / weights.sum(axis=1, keepdims=True))


window_matrix = lru_cache(maxsize=256)(make_window_matrix)
"""The same, for windows that are asked for again."""


@lru_cache(maxsize=16)
def bands(length: int, target: int) -> tuple[tuple[slice, WindowMatrix], ...]:
    """The whole matrix from ``length`` values to ``target``, as blocks of rows."""
    block = min(LARGEST_BLOCK, BLOCK * max(1, target // length))
    spans = (slice(start, min(start + block, target)) for start in range(0, target, block))
    return tuple((span, make_window_matrix(length, target, span.start, span.stop)) for span in spans)


def resize_frames(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (T, C, H, W) float32 frames to ``size`` = (height, width); no frame depends on those beside it."""
    count, channels = frames.shape[:2]
    values = channels * size[0] * size[1]
    result = frames.new_empty(count, values + -values % ALIGNED)[:, :values].unflatten(1, (channels, *size))
    for frame, made in zip(frames, result, strict=True):
        for plane, target in zip(_aligned(frame), made, strict=True):
            if size[0] > plane.shape[0]:
                _resize_rows(_resize_columns(plane, size[1]), target)
            else:
                target.copy_(_resize_columns(_resize_rows(plane, plane.new_empty(size[0], plane.shape[1])), size[1]))
    return result


def add_resized_frame(frame: Tensor, change: Tensor, alpha: float) -> None:
    """Add ``alpha`` times a smaller (C, h, w) ``change``, resized, to a (C, H, W) ``frame``, without a copy of it."""
    for plane, small in zip(frame, _aligned(change), strict=True):
        wide = _resize_columns(small, plane.shape[1])
        for span, band in bands(len(small), len(plane)):
            torch.addmm(plane[span], band.matrix, wide[band.reach], alpha=alpha, out=plane[span])


def _aligned(frame: Tensor) -> Tensor:
    """(C, H, W) planar, at an address from which products are always computed in the same order."""
    frame = frame.contiguous()
    return frame if frame.data_ptr() % (ALIGNED * frame.element_size()) == 0 else frame.clone()


def _resize_rows(plane: Tensor, result: Tensor) -> Tensor:
    """(H, W) to the height of ``result``, written there."""
    for span, band in bands(len(plane), len(result)):
        torch.mm(band.matrix, plane[band.reach], out=result[span])
    return result


def _resize_columns(plane: Tensor, width: int) -> Tensor:
    """(H, W) to (H, width)."""
    result = plane.new_empty(len(plane), width)
    for span, band in bands(plane.shape[1], width):
        torch.mm(plane[:, band.reach], band.matrix.T, out=result[:, span])
    return result


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
