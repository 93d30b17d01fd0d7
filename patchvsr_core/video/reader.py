"""Decodes videos and image sequences, with the timestamps that the output needs."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from ..srgb import to_display
from .conversion import PRECISE
from .decode import iter_frames
from .info import VideoInfo, probe
from .linear import linear_pixels, to_straight
from .orientation import orientation
from .picture import RGB, SWS_COLORSPACE, assumed_matrix, is_float, may_have_alpha
from .sequence import is_sequence
from .swscale import convert
from .timeline import Timeline, scan

log = logging.getLogger("patchvsr")
__all__ = [
    "Clip",
    "Timeline",
    "iter_frames",
    "read_clip",
    "read_frames",
    "scan",
    "to_floats",
    "to_tensor",
    "upright_pixels",
]


@dataclass(frozen=True, eq=False)
class Clip:
    """A decoded clip."""

    info: VideoInfo
    frames: Tensor
    """(T, H, W, 3) float32 in [0, 1]; with transparency 4 channels."""
    timestamps: tuple[int, ...]
    """Presentation time of every frame in units of ``time_base``."""
    time_base: Fraction


def read_clip(path: str | Path) -> Clip:
    """Decode a whole video file or image sequence; what is wrong with it but can be read is logged.

    Raises:
        MediaError: when there is no such file, it has no video, or it is a damaged video.
    """
    info = probe(path)
    frames: list[Tensor] = []
    timeline = scan(
        info.path,
        find_cuts=False,
        strict=not is_sequence(info.path),
        on_decoded=lambda frame: frames.append(to_tensor(frame, info.picture.alpha)),
    )
    for notice in timeline.notices:
        log.warning("%s", notice)
    return Clip(info, torch.stack(frames), timeline.timestamps, timeline.time_base)


def read_frames(path: str | Path, count: int) -> Tensor:
    """Decode only the first frames of a video file: (T, H, W, 3) float32 in [0, 1], T at most ``count``.

    Raises:
        MediaError: as :func:`read_clip` does.
    """
    info = probe(path)
    frames = itertools.islice(iter_frames(info.path), count)
    return torch.stack([to_tensor(frame, info.picture.alpha) for frame in frames])


def to_tensor(frame: av.VideoFrame, alpha: bool | None = None) -> Tensor:
    """Convert a decoded frame to (H, W, 3), or 4 with alpha, float32, rotated upright, with its declared colour matrix.

    In [0, 1], except for floating-point images, whose highlights may exceed 1. Colours are straight, not multiplied by
    alpha; without alpha those of floating-point images are over black.

    Args:
        alpha: whether to return an alpha channel; None if the frame has one.
    """
    return to_floats(upright_pixels(frame, alpha))


def to_floats(pixels: np.ndarray) -> Tensor:
    """Pixels of :func:`upright_pixels` as float32, integers in [0, 1]."""
    if pixels.dtype == np.float32:
        return torch.from_numpy(pixels)
    return torch.from_numpy(pixels.astype(np.float32) / np.iinfo(pixels.dtype).max)


def upright_pixels(frame: av.VideoFrame, alpha: bool | None = None, *, is_premultiplied: bool = False) -> np.ndarray:
    """As :func:`to_tensor`, (H, W, 3 or 4) in uint8 or uint16 as decoded; of floating-point images float32.

    Args:
        is_premultiplied: leave the colours of floating-point images multiplied by alpha.
    """
    pixels = _pixels(frame, is_premultiplied or alpha is False)
    if alpha is None or alpha == (pixels.shape[-1] == 4):
        return pixels
    if not alpha:
        return np.ascontiguousarray(pixels[..., :3])
    opaque = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
    return np.concatenate([pixels, np.full_like(pixels[..., :1], opaque)], -1)


def _pixels(frame: av.VideoFrame, is_premultiplied: bool) -> np.ndarray:
    components = frame.format.components
    has_alpha = may_have_alpha(frame.format)
    if is_float(frame.format):
        linear = linear_pixels(frame)
        if linear.shape[-1] == 4 and not is_premultiplied:
            linear = to_straight(linear)
        return torch.cat([to_display(linear[..., :3]), linear[..., 3:].clamp(0, 1)], -1).numpy()
    bits = 8 if max(component.bits for component in components) <= 8 else 16
    names = {8: ("rgb24", "rgba"), 16: ("rgb48le", "rgba64le")}
    options: dict[str, Any] = {}
    if not frame.format.is_rgb and frame.colorspace != RGB:
        options["src_colorspace"] = SWS_COLORSPACE[assumed_matrix(frame.colorspace, frame.width, frame.height)]
    array = convert(frame, format=names[bits][has_alpha], interpolation=PRECISE, **options).to_ndarray()
    return np.array(orientation(frame).apply(array), order="C")  # a copy, as the array may lie within the frame
