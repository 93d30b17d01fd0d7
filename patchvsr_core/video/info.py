"""Probes the properties of a video before decoding."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ..errors import MediaError, PlanError
from .animations import is_animated_webp, is_misread_apng
from .fields import AUTO, KEEP, LOOKED_AT, Fields, choose, find_fields
from .hdr import DOLBY_VISION
from .local_files import open_input
from .orientation import orientation, warn_if_slanted
from .picture import UNKNOWN, Picture, read_picture
from .section import Section, parse_time
from .sequence import first_image, is_sequence

MIN_PYAV = (17, 1)
"""The first PyAV that converts colours by the matrix and range of both frames, and sets time bases of audio streams."""
MAX_PIXELS = (2**31 - 1) // 8
"""Of a frame, with a border of 128 pixels (av_image_check_size)."""
MOST_FPS = 1000
"""Higher frame rates are only a unit of time, as in APNG; Matroska could not tell such frames apart either."""
SEQUENCE_FPS = Fraction(24)
"""Frame rate of image sequences, which do not store one."""


@dataclass(frozen=True)
class VideoInfo:
    """Properties from a file's header, or of an image sequence."""

    path: Path
    width: int
    height: int
    fps: Fraction
    frames: int
    """Exact where the container stores it, otherwise from the duration; 0 when unknown."""
    time_base: Fraction
    """Unit of the timestamps, seconds."""
    audio_streams: int = 0
    picture: Picture = field(default=Picture())
    origin: Fraction = Fraction(0)
    """Start time of the file in seconds; results start at 0."""
    fields: Fields = field(default=Fields())
    """What is done about interlacing; ``fps``, ``frames`` and ``time_base`` are those after it."""
    section: Section = field(default=Section())
    """Which part of it is read; ``frames`` are those of the part."""


def probe(path: str | Path) -> VideoInfo:
    """Read the header of a video file or the first image of a sequence.

    Raises:
        MediaError: when there is no such file, or it has no video.
    """
    path = Path(path)
    with opened(path) as container:
        info = _info(first_image(path)[0] if is_sequence(path) else path, container)
    if is_sequence(path):
        _, count = first_image(path)
        return VideoInfo(path, info.width, info.height, SEQUENCE_FPS, count, 1 / SEQUENCE_FPS, picture=info.picture)
    return info


def with_fields(info: VideoInfo, choice: str = AUTO) -> VideoInfo:
    """Look whether a video is interlaced or telecined, and choose what is done about it.

    Args:
        choice: one of :data:`fields.CHOICES`.
    """
    if choice == KEEP or is_sequence(info.path):
        return info
    fields = choose(choice, find_fields(_parts(info), info.fps))
    rate = fields.rate
    return replace(
        info,
        fields=fields,
        fps=info.fps * rate,
        frames=round(info.frames * rate),
        time_base=info.time_base / fields.division,
    )


def with_section(info: VideoInfo, begin: str | None = None, end: str | None = None) -> VideoInfo:
    """Choose a part of a clip.

    Args:
        begin, end: times from the clip's start, as :func:`section.parse_time` reads them; None: the clip's own.

    Raises:
        PlanError: when they are no times, or nothing lies between them.
    """
    first, last = (None if text is None else parse_time(text, info.fps) for text in (begin, end))
    if last is not None and last <= (first or 0):
        raise PlanError("The part ends before it begins; choose a later end.")
    return in_section(info, Section(*(None if time is None else info.origin + time for time in (first, last))))


def in_section(info: VideoInfo, section: Section) -> VideoInfo:
    """A clip of which a part is read.

    Raises:
        PlanError: when it begins after the clip's end.
    """
    frames = len(section.numbers(info.frames, info.fps, info.time_base, info.origin))
    if info.frames and not frames:
        length = float(info.frames / info.fps)
        raise PlanError(f"{info.path.name} is {length:.2f} s long; choose a part within it.")
    return replace(info, section=section, frames=frames)


def _parts(info: VideoInfo) -> Iterator[Iterator[av.VideoFrame]]:
    """Some frames from the start and from the middle of a video."""
    for share in (0, 2):
        with opened(info.path) as container, suppress(av.error.FFmpegError):
            stream = picture_stream(info.path, container)
            stream.thread_type = "AUTO"
            length = container.duration or 0
            if share and (info.frames < 4 * LOOKED_AT or not length):
                return
            if share:
                container.seek(length // share + (container.start_time or 0))
            yield itertools.islice(_until_damaged(container.decode(stream)), LOOKED_AT)


def _until_damaged(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    with suppress(av.error.FFmpegError):  # full decoding reports what is wrong
        yield from frames


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Open a file, or the first image of a sequence, as a container.

    Raises:
        MediaError: when it cannot be opened.
    """
    check_pyav(av.__version__)
    file = first_image(path)[0] if is_sequence(path) else path
    if not file.exists():
        raise MediaError(f"There is no file {file}; check the path.")
    with open_input(file) as container:
        yield container


def check_pyav(version: str) -> None:
    """Refuse a PyAV older than :data:`MIN_PYAV`, which would convert colours otherwise without a word.

    Raises:
        MediaError: when it is.
    """
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_PYAV:
        least = ".".join(map(str, MIN_PYAV))
        raise MediaError(f"PyAV {version} converts colours otherwise; run pip install -U 'av>={least}' and restart.")


def picture_stream(path: Path, container: InputContainer) -> VideoStream:
    """The first video stream that is not cover art.

    Raises:
        MediaError: when there is none that can be decoded.
    """
    for stream in container.streams.video:
        if stream.disposition & av.stream.Disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise MediaError(f"{path.name} is in a video format that cannot be decoded here; convert it to H.264.")
        return stream
    raise MediaError(f"{path.name} has no video stream; choose a video file.")


def _info(path: Path, container: InputContainer) -> VideoInfo:
    stream = picture_stream(path, container)
    fps = stream.average_rate or stream.guessed_rate or Fraction(25)
    if fps > MOST_FPS:
        fps = _rate_of_packets(path, stream.index) or Fraction(25)
    frames = stream.frames
    if not frames and container.duration:
        frames = round(container.duration / av.time_base * fps)
    width, height = stream.width, stream.height
    if not (width and height):
        if is_animated_webp(path):
            raise MediaError(f"{path.name} is an animated WebP, which FFmpeg cannot read; convert it to .gif or .mp4.")
        raise MediaError(
            f"The size of {path.name} cannot be read: it is damaged, or has more than {MAX_PIXELS // 10**6} million "
            "pixels, which is libav's limit; make it smaller first."
        )
    if stream.codec_context.name == "apng" and is_misread_apng(path):
        raise MediaError(f"{path.name} is an animated PNG of few colours, which FFmpeg misreads; convert it to .gif.")
    first = _first_frame(container, stream)
    picture = read_picture(container, stream, first)
    if first is not None:
        warn_if_slanted(path.name, first)
    if picture.light.dynamic == DOLBY_VISION and stream.codec_context.color_trc == UNKNOWN:
        raise MediaError(
            f"{path.name} is Dolby Vision without a base layer that other players show (profile 5); convert it to "
            "HDR10 first."
        )
    if first is not None and orientation(first).is_transposed:
        width, height = height, width
        picture = replace(picture, pixel_aspect=1 / picture.pixel_aspect)
    time_base = stream.time_base or 1 / fps
    audio = len(container.streams.audio)
    origin = max(Fraction(container.start_time or 0, av.time_base), Fraction(0))
    return VideoInfo(path, width, height, fps, frames, time_base, audio, picture, origin)


def _rate_of_packets(path: Path, index: int) -> Fraction | None:
    """The frame rate of the first packets of a stream; None where they have no times or too short ones."""
    with opened(path) as container:
        stream = container.streams[index]
        packets = [packet for packet in itertools.islice(container.demux(stream), LOOKED_AT) if packet.size]
    length = sum((packet.duration * packet.time_base for packet in packets if packet.duration), start=Fraction(0))
    fps = (len(packets) / length).limit_denominator(1001) if length else None
    return fps if fps and fps <= MOST_FPS else None


def _first_frame(container: InputContainer, stream: VideoStream) -> av.VideoFrame | None:
    try:
        return next(container.decode(stream), None)
    except (av.error.FFmpegError, OSError):
        return None  # full decoding reports what is wrong
