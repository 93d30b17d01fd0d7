"""Decodes the frames of a file or image sequence, and skips what cannot be decoded."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from ..errors import MediaError
from .fields import Fields, apply_fields
from .image_files import decode_image, is_whole_exr
from .info import opened, picture_stream
from .linear import is_finite
from .local_files import is_of_the_system
from .picture import alpha_decoder
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
    path: Path, *, fields: Fields = Fields(), record: Record | None = None, one_thread: bool = False
) -> Iterator[av.VideoFrame]:
    """Iterate over the frames of a file or the images of a sequence that can be decoded; all have the same size.

    Args:
        fields: what is done about interlacing.
        record: receives what was found; for that the other streams of the file are read too.
        one_thread: what a decoder makes of a damaged file may otherwise differ from time to time.

    Raises:
        MediaError: when it cannot be read, has no frames, or changed meanwhile.
    """
    size: tuple[int, int] | None = None
    frames = _images(path, record) if is_sequence(path) else _frames(path, fields, record, one_thread)
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


def _images(path: Path, record: Record | None) -> Iterator[av.VideoFrame]:
    for number, file in enumerate(images(path)):
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


def _frames(path: Path, fields: Fields, record: Record | None, one_thread: bool) -> Iterator[av.VideoFrame]:
    found = False
    with opened(path) as container:
        decoded = _decoded(path, container, record, one_thread)
        if not fields.filters:
            for frame in decoded:
                found = True
                yield frame
        else:
            for frame, ordinal in apply_fields(fields, decoded):
                found = True
                if record is not None:
                    record.ordinals.append(ordinal)
                yield frame
    if not found:
        raise MediaError(f"{path.name} has a video stream without frames; check the program that exported it.")


def _decoded(path: Path, container: InputContainer, record: Record | None, one_thread: bool) -> Iterator[av.VideoFrame]:
    stream = picture_stream(path, container)
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
            if record is not None:
                record.errors += 1
            continue
        for frame in frames:
            if record is not None:
                record.add(frame)
            yield frame


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
