"""Decodes the frames of a file or image sequence, and skips what cannot be decoded."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ..errors import MediaError
from .fields import Fields, apply_fields
from .image_files import decode_image, is_whole_exr
from .info import SEQUENCE_FPS, opened, picture_stream
from .linear import is_finite
from .local_files import is_of_the_system
from .picture import alpha_decoder
from .section import Section, is_between
from .sequence import images, is_sequence

ABSENT = -(2**62)
"""A timestamp or position that the file does not state."""
MOST_ERRORS = 1000
"""In a row, after which the rest of a file is given up."""


@dataclass(eq=False)
class Packets:
    """What a file states about its packets, in its order; in columns, as a long file has millions."""

    stream: array[int] = field(default_factory=lambda: array("h"))
    pts: array[int] = field(default_factory=lambda: array("q"))
    dts: array[int] = field(default_factory=lambda: array("q"))
    duration: array[int] = field(default_factory=lambda: array("q"))
    size: array[int] = field(default_factory=lambda: array("q"))
    position: array[int] = field(default_factory=lambda: array("q"))
    is_corrupt: array[int] = field(default_factory=lambda: array("b"))

    def add(self, packet: Any) -> None:
        self.stream.append(packet.stream.index)
        self.pts.append(_or_absent(packet.pts))
        self.dts.append(_or_absent(packet.dts))
        self.duration.append(packet.duration or 0)
        self.size.append(packet.size)
        self.position.append(_or_absent(packet.pos))
        self.is_corrupt.append(packet.is_corrupt)


@dataclass(eq=False)
class Record:
    """What was found while a file was decoded."""

    packets: Packets = field(default_factory=Packets)
    pts: array[int] = field(default_factory=lambda: array("q"))
    """Of every decoded frame, in the order in which they are shown."""
    is_corrupt: array[int] = field(default_factory=lambda: array("b"))
    """Whether the decoder made up a part of a frame."""
    errors: int = 0
    """Packets that the decoder refused."""
    ordinals: list[Fraction] = field(default_factory=list)
    """Which decoded frame each frame of the result is shown with, where fields are filtered."""
    stream: int = 0
    """Index of the pictures' stream."""
    not_finite: list[int] = field(default_factory=list)
    """Which decoded frames have pixels that are NaN or Inf."""

    def add(self, frame: av.VideoFrame) -> None:
        if not is_finite(frame):
            self.not_finite.append(len(self.pts))
        self.pts.append(_or_absent(frame.pts))
        self.is_corrupt.append(frame.is_corrupt)


def _or_absent(value: int | None) -> int:
    return ABSENT if value is None else value


def iter_frames(
    path: Path,
    *,
    fields: Fields = Fields(),
    section: Section = Section(),
    record: Record | None = None,
    one_thread: bool = False,
) -> Iterator[av.VideoFrame]:
    """Iterate over the frames of a file or the images of a sequence that can be decoded; all have the same size.

    Args:
        fields: what is done about interlacing.
        section: which of them.
        record: receives what was found; for that the other streams of the file are read too.
        one_thread: what a decoder makes of a damaged file may otherwise differ from time to time.

    Raises:
        MediaError: when it cannot be read, has no frames, or changed meanwhile.
    """
    size: tuple[int, int] | None = None
    frames = _images(path, section, record) if is_sequence(path) else _frames(path, fields, section, record, one_thread)
    before = _state(path)
    while True:
        try:
            frame = next(frames, None)
        except (av.error.FFmpegError, OSError, MediaError) as error:
            _check_unchanged(path, before)
            if isinstance(error, MediaError):
                raise
            raise _unreadable(path, error) from error
        _check_unchanged(path, before)
        if frame is None:
            if size is None:
                raise _has_none(path, section)
            break
        size = size or (frame.width, frame.height)
        if (frame.width, frame.height) != size:
            raise _changes_size(path, frame)
        yield frame


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is written to or replaced; nothing of an image sequence, whose files are opened late."""
    if is_sequence(path) or not path.exists():
        return None
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


def _check_unchanged(path: Path, before: tuple[int, ...] | None) -> None:
    if _state(path) != before:
        raise MediaError(f"{path.name} was changed or removed while it was read; leave it in place and start again.")


def _images(path: Path, section: Section, record: Record | None) -> Iterator[av.VideoFrame]:
    chosen = slice(*section.units(1 / SEQUENCE_FPS))
    for number, file in [*enumerate(images(path))][chosen]:
        try:
            frame, is_damaged = decode_image(file)
        except (av.error.FFmpegError, OSError) as error:
            raise _unreadable(file, error) from error
        frame.pts = number
        if record is not None:
            record.add(frame)
            record.is_corrupt[-1] |= is_damaged or not is_whole_exr(file)
        yield frame


def _changes_size(path: Path, frame: av.VideoFrame) -> MediaError:
    if not is_sequence(path):
        return MediaError(f"{path.name} changes its resolution midway; split it where the size changes.")
    file = images(path)[frame.pts or 0]
    return MediaError(f"{path.name} changes its resolution midway, at {file.name}; split it there.")


def _unreadable(path: Path, error: Exception) -> MediaError:
    return MediaError(f"{path.name} cannot be read ({error}); re-encode or trim it first.")


def _has_none(path: Path, section: Section) -> MediaError:
    if section.is_all:
        return MediaError(f"{path.name} has a video stream without frames; check the program that exported it.")
    return MediaError(f"{path.name} has no frames in the part that was chosen; choose one that lies within it.")


def _frames(
    path: Path, fields: Fields, section: Section, record: Record | None, one_thread: bool
) -> Iterator[av.VideoFrame]:
    with opened(path) as container:
        decoded = _within(section, path, container, record, one_thread)
        if not fields.filters:
            yield from decoded
            return
        for frame, ordinal in apply_fields(fields, decoded):
            if record is not None:
                record.ordinals.append(ordinal)
            yield frame


def _within(
    section: Section, path: Path, container: InputContainer, record: Record | None, one_thread: bool
) -> Iterator[av.VideoFrame]:
    """The decoded frames of a section; those without a time are taken as equally far apart."""
    stream = picture_stream(path, container)
    base = stream.time_base or Fraction(1, av.time_base)
    begin, end = section.units(base)
    if begin is not None and can_seek(path, begin):
        container.seek(begin, stream=stream)
    step = 1 / (stream.average_rate or stream.guessed_rate or Fraction(25)) / base
    for number, frame in enumerate(_decoded(stream, container, record, one_thread, (begin, end))):
        time = round(number * step) if frame.pts is None else frame.pts
        if end is not None and time >= end:
            return
        if is_between(time, begin, end):
            if record is not None:
                record.add(frame)
            yield frame


def can_seek(path: Path, time: int) -> bool:
    """Whether a file can be read from a frame on that needs no other and is not shown after ``time``."""
    with opened(path) as container, suppress(av.error.FFmpegError):
        stream = picture_stream(path, container)
        container.seek(time, stream=stream)
        first = next((packet for packet in container.demux(stream) if packet.size), None)
        return first is not None and first.is_keyframe and first.pts is not None and first.pts <= time
    return False


def _decoded(
    stream: VideoStream,
    container: InputContainer,
    record: Record | None,
    one_thread: bool,
    looked_at: tuple[int | None, int | None],
) -> Iterator[av.VideoFrame]:
    """All frames from where the container stands; errors outside of the times that are looked at do not count."""
    stream.thread_type = "NONE" if one_thread else "AUTO"
    context: Any = alpha_decoder(stream) or stream.codec_context
    if record is not None:
        record.stream = stream.index
    for packet in _packets(container, None if record is not None else stream):
        if record is not None and packet.size and not packet.is_discard:
            record.packets.add(packet)
        if packet.stream.index != stream.index:
            continue
        try:
            frames = context.decode(packet if packet.size else None)
        except av.error.FFmpegError as error:
            if is_of_the_system(error):
                raise
            if record is not None and is_between(packet.pts, *looked_at):
                record.errors += 1
            continue
        yield from frames


def _packets(container: InputContainer, stream: Any) -> Iterator[Any]:
    """All packets of a stream, or of all; what is broken between them is skipped."""
    errors = 0
    while errors < MOST_ERRORS:
        try:
            for packet in container.demux(*([stream] if stream is not None else [])):
                errors = 0
                yield packet
            return
        except av.error.FFmpegError as error:
            if is_of_the_system(error):
                raise
            errors += 1
