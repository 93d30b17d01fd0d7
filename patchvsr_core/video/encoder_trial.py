"""Tries whether an encoder takes a size and frame rate, as each has limits of its own."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from ..errors import OutputError, phrase
from .encoders import CODECS, CRF, Encoder, choose_encoder
from .picture import Picture


def check_encoder(
    path: Path,
    size: tuple[int, int],
    fps: Fraction,
    *,
    picture: Picture = Picture(),
    codec: str | None = None,
    crf: int = CRF,
) -> None:
    """Raise unless the encoder of a file can be opened, naming those that can.

    Args:
        path, size, picture, codec, crf: as for :func:`encoders.choose_encoder`.

    Raises:
        OutputError: when it cannot.
    """
    chosen = choose_encoder(path, size, picture, codec, crf)
    if _opens(chosen, size, fps):
        return
    able = [name for name in CODECS if name != _name(chosen) and _takes(name, size, fps, picture, crf)]
    remedy = phrase("choose another size")
    if able:
        files = f"{able[0]} ({' or '.join(CODECS[able[0]].suffixes)})"
        remedy = phrase(f"choose the codec {' or '.join([files, *able[1:]])}")
    raise OutputError(
        f"{_name(chosen)} cannot encode {size[1]}x{size[0]} pixels at {float(fps):.6g} frames/s; {remedy}."
    )


def _name(encoder: Encoder) -> str:
    return next(name for name, kind in CODECS.items() if kind.library == encoder.codec)


def _takes(name: str, size: tuple[int, int], fps: Fraction, picture: Picture, crf: int) -> bool:
    try:
        path = Path(f"trial{CODECS[name].suffixes[0]}")
        return _opens(choose_encoder(path, size, picture, name, crf), size, fps)
    except OutputError:
        return False


def _opens(encoder: Encoder, size: tuple[int, int], fps: Fraction) -> bool:
    context = av.CodecContext.create(encoder.codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.height, context.width = size
    context.pix_fmt, context.time_base, context.framerate = encoder.pix_fmt, 1 / fps, fps
    context.options = dict(encoder.options)
    try:
        context.open()
    except (av.error.FFmpegError, ValueError):
        return False
    return True
