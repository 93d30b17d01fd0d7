"""Frames that are not coded, as streams for other programs: y4m and NUT."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

from .conversion import PRECISE, from_rgb
from .info import VideoInfo, probe
from .local_files import open_input
from .passthrough import PassthroughStreams
from .picture import FULL_RANGE, SWS_COLORSPACE, UNKNOWN, Picture, assumed_matrix
from .swscale import convert

log = logging.getLogger("patchvsr")
MILLISECOND = Fraction(1, 1000)
LIMITED_RANGE = 1
"""AVCOL_RANGE_MPEG."""
TV_PRIMARIES, TV_TRANSFERS = (1, 2, 5, 6, 7), (1, 2, 5, 6, 7)
"""Of BT.709 and BT.601, or not stated: what programs assume."""
CHROMA = {"yuv420p": "420mpeg2", "yuv444p": "444", "yuv420p10le": "420p10", "yuv444p10le": "444p10"}
"""Of y4m headers, by pixel format."""


def send_y4m(result: Path, source: VideoInfo, pipe: BinaryIO) -> None:
    """Write a lossless RGB file as y4m, which has a picture without transparency at a fixed rate, and nothing else.

    Args:
        source: of the input, whose colour tags hold.
    """
    info = probe(result)
    kind = _planar_format(info)
    times = _times(result, source.fps)
    if times is None or info.audio_streams or info.picture.alpha:
        log.warning("y4m has neither audio nor transparency nor times of frames; --pipe nut has them.")
    aspect = info.picture.pixel_aspect
    header = (
        f"YUV4MPEG2 W{info.width} H{info.height} F{source.fps.numerator}:{source.fps.denominator} Ip "
        f"A{aspect.numerator}:{aspect.denominator} C{CHROMA[kind]} "
        f"XCOLORRANGE={'FULL' if source.picture.full_range else 'LIMITED'}\n"
    )
    pipe.write(header.encode())
    for frame in _converted(result, kind, source, full_range=source.picture.full_range):
        pipe.write(b"FRAME\n" + b"".join(_samples(plane, 1 + (info.picture.depth > 8)) for plane in frame.planes))


def send_nut(result: Path, source: VideoInfo, pipe: BinaryIO) -> None:
    """Write a lossless RGB file as NUT: raw frames with their times and transparency, and audio.

    Their range is limited, as readers assume.

    Args:
        source: of the input, whose colour tags hold.
    """
    info, tags = probe(result), source.picture
    kind = _planar_format(info)
    if info.picture.alpha:
        kind = "rgba64le" if info.picture.depth > 8 else "rgba"
    times = _times(result, source.fps)
    unit = 1 / source.fps if times else MILLISECOND
    with av.open(_Sink(pipe), "w", format="nut", options={"fflags": "+bitexact"}) as target:
        video: Any = target.add_stream("rawvideo", rate=source.fps)
        video.width, video.height, video.pix_fmt = info.width, info.height, kind
        context = video.codec_context
        context.time_base, context.sample_aspect_ratio = unit, info.picture.pixel_aspect
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        if not info.picture.alpha:
            context.colorspace, context.color_range = tags.matrix, LIMITED_RANGE
        others = PassthroughStreams(result, target, ".nut", subtitles=False)
        for number, frame in enumerate(_converted(result, kind, source, full_range=False)):
            time = times[number] if times else round(frame.pts * frame.time_base / unit)
            frame.pts, frame.time_base = time, unit
            others.copy_until(time * unit)
            target.mux(video.encode(frame))
        others.copy_until(None)
        target.mux(video.encode(None))


class _Sink:
    """A pipe as PyAV takes it: without a way back."""

    def __init__(self, pipe: BinaryIO) -> None:
        self.write = pipe.write


def _planar_format(info: VideoInfo) -> str:
    """As files have it: half the chroma unless a side is odd."""
    sampling = "444" if info.width % 2 or info.height % 2 else "420"
    return f"yuv{sampling}p{'10le' * (info.picture.depth > 8)}"


def _times(result: Path, fps: Fraction) -> list[int] | None:
    """The number of every frame on the grid of a fixed frame rate; None where the file's times do not lie on one."""
    with open_input(result) as container:
        stream = container.streams.video[0]
        times = sorted(packet.pts * packet.time_base for packet in container.demux(stream) if packet.pts is not None)
    numbers = [round(time * fps) for time in times]
    is_regular = all(after - before == 1 for before, after in itertools.pairwise(numbers))
    near = all(abs(number / fps - time) <= MILLISECOND for number, time in zip(numbers, times, strict=True))
    return numbers if is_regular and near else None


def _converted(result: Path, kind: str, source: VideoInfo, *, full_range: bool) -> Iterator[Any]:
    """Frames of an RGB file in a pixel format, with the matrix of the input."""
    tags = source.picture
    is_rgb = not kind.startswith("yuv")
    if not is_rgb:
        _name_tags(result, tags)
    with open_input(result) as container:
        for frame in container.decode(video=0):
            if is_rgb:
                made = convert(frame, format=kind, interpolation=PRECISE)
            else:
                made = from_rgb(frame, kind, tags.matrix, FULL_RANGE if full_range else LIMITED_RANGE)
            made.pts, made.time_base = frame.pts, frame.time_base
            yield made


def _name_tags(result: Path, tags: Picture) -> None:
    """Name colour tags that a program would not assume of this size, as the streams do not say them."""
    with open_input(result) as container:
        stream = container.streams.video[0]
        assumed = assumed_matrix(UNKNOWN, stream.width, stream.height)
    is_assumed = tags.primaries in TV_PRIMARIES and tags.transfer in TV_TRANSFERS
    if SWS_COLORSPACE[tags.matrix] != SWS_COLORSPACE[assumed] or not is_assumed:
        log.warning(
            "The stream has no colour tags; tell the program that reads it: matrix %d, primaries %d, transfer %d.",
            tags.matrix,
            tags.primaries,
            tags.transfer,
        )


def _samples(plane: Any, sample_bytes: int) -> bytes:
    """A plane without what pads its lines."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width * sample_bytes].tobytes()
