"""Bicubic resampling: the one definition of up- and downsampling that the whole project uses.

Keys' cubic with a = -1/2, anti-aliased when downsampling, half-pixel centres: equal to Pillow and
to torch's ``antialias=True``. Windows of an upsampled frame are computed on their own, so that the cost
of a tile of a 4K canvas is that of a tile.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..plan.canvas import Canvas
from .matrix import add_resized_frame, resize_frames, window_matrix

PIXELS_PER_BATCH = 2**22


def frames_per_batch(size: tuple[int, int]) -> int:
    """Number of frames of (height, width) to process at a time, to limit memory."""
    return max(1, PIXELS_PER_BATCH // (size[0] * size[1]))


def resize(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (T, H, W, C) frames to ``size`` = (height, width); values may overshoot [0, 1]."""
    if tuple(frames.shape[1:3]) == tuple(size):
        return frames
    planes = frames.movedim(-1, 1).float()
    if multiplies(planes):
        resized = resize_frames(planes, size)
    else:
        resized = F.interpolate(planes, size=size, mode="bicubic", antialias=True)
    return resized.movedim(1, -1).to(frames)


def add_resized(frames: Tensor, change: Tensor, alpha: float = 1.0) -> None:
    """Add ``alpha`` times a smaller clip to one, in place.

    Args:
        frames: (T, H, W, C) float32, planar in memory.
        change: (T, h, w, C) float32; resized to (H, W).
    """
    if not multiplies(frames):
        frames.add_(resize(change, (frames.shape[1], frames.shape[2])), alpha=alpha)
        return
    for frame, small in zip(frames.movedim(-1, 1), change.movedim(-1, 1), strict=True):
        add_resized_frame(frame, small, alpha)


def multiplies(planes: Tensor) -> bool:
    """Whether planes are resampled by products with matrices: on a CPU, where no gradient is asked for."""
    return planes.device.type == "cpu" and not (torch.is_grad_enabled() and planes.requires_grad)


def upsample_window(frames: Tensor, canvas: Canvas, rows: slice, columns: slice) -> Tensor:
    """Upsample a window of the padded canvas from the input.

    Args:
        frames: (T, h, w, C) input clip of the canvas, any range.
        rows, columns: window of the padded canvas, in pixels. Beyond the output the frame is
            reflected; beyond the clip its last frame is repeated.

    Returns:
        (padded T, rows, columns, C), equal to the window of the whole upsampled clip.
    """
    vertical = window_matrix(canvas.source[0], canvas.target[0], rows.start, rows.stop)
    horizontal = window_matrix(canvas.source[1], canvas.target[1], columns.start, columns.stop)
    y, x = vertical.reach, horizontal.reach
    index = torch.arange(canvas.padded_frames, device=frames.device).clamp(max=len(frames) - 1)
    window = frames[:, y, x].to(torch.float32)
    vertical_matrix = vertical.matrix.to(window.device)
    horizontal_matrix = horizontal.matrix.to(window.device)
    upsampled = torch.einsum("yh,thwc,xw->tyxc", vertical_matrix, window, horizontal_matrix)
    return upsampled if len(index) == len(upsampled) else upsampled[index]
