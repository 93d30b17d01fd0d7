"""Conversion of pixel formats by FFmpeg's swscale, as accurate as it can be."""

from __future__ import annotations

from typing import Any

from .picture import SWS_COLORSPACE
from .swscale import convert

SWS_BICUBIC, SWS_ACCURATE_RND, SWS_FULL_CHR_H_INT = 1 << 2, 1 << 18, 1 << 13
"""swscale's numbers; PyAV passes them on, but names the last two only from 18.0 on."""
PRECISE = SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT
"""Accurate conversion, which swscale does not do by default (54 dB instead of 46)."""
BT2020 = 9


def from_rgb(frame: Any, pix_fmt: str, matrix: int, color_range: int) -> Any:
    """A frame of RGB in a YUV format.

    Args:
        frame: an ``av.VideoFrame``; its tags may be changed.
        matrix, color_range: of the result, in libav's numbers (ISO 23091-2).
    """
    if matrix == BT2020:
        frame.colorspace = BT2020  # the result begins as a copy; PyAV before 18 leaves out this one among its numbers
    return convert(
        frame, format=pix_fmt, dst_colorspace=SWS_COLORSPACE[matrix], dst_color_range=color_range, interpolation=PRECISE
    )
