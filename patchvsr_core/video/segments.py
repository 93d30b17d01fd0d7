"""Pieces of an encoded video, and the file that they are joined to.

Every piece is encoded on its own, so a finished piece never changes; joining copies packets and is
quick. Presentation times come from the input's timeline, not from the pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from torch import Tensor

from ..errors import OutputError
from .writer import AudioCopy, VideoWriter, explained, partial_of


def write_segment(path: Path, frames: Tensor, *, fps: Fraction, crf: int, pixel_aspect: Fraction = Fraction(1)) -> None:
    """Encode (T, H, W, 3) frames in [0, 1] to a file of their own; it appears when it is complete."""
    size = int(frames.shape[1]), int(frames.shape[2])
    time_base = 1 / fps
    with VideoWriter(path, size, range(len(frames)), time_base, fps=fps, crf=crf, pixel_aspect=pixel_aspect) as writer:
        writer.write(frames)


def check_container(path: Path, size: tuple[int, int], fps: Fraction, audio_from: Path | None) -> None:
    """Raise what :func:`join` would only say after the work: that a container cannot hold picture or sound.

    Raises:
        OutputError: in one sentence.
    """
    with suppress(_Enough), VideoWriter(path, size, (), 1 / fps, fps=fps, audio_from=audio_from):
        raise _Enough


class _Enough(Exception):
    """Leaves a writer without a file."""


def join(
    segments: Sequence[Path],
    path: Path,
    timestamps: Sequence[int],
    time_base: Fraction,
    audio_from: Path | None = None,
) -> None:
    """Write all pieces to one file, with the audio of ``audio_from``; it appears when it is complete.

    Args:
        timestamps: presentation time of every frame of all pieces, in units of ``time_base``.

    Raises:
        OutputError: when the target cannot be written, or a piece is damaged.
    """
    partial = partial_of(path)
    orders = [_display_order(segment) for segment in segments]
    if sum(map(len, orders)) != len(timestamps):
        raise OutputError(
            f"The pieces of {path.name} hold {sum(map(len, orders))} frames instead of {len(timestamps)}; "
            "start again with --fresh."
        )
    try:
        with explained(path), av.open(str(partial), "w") as target:
            _copy(segments, orders, timestamps, target, time_base, audio_from)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _copy(
    segments: Sequence[Path],
    orders: list[list[int]],
    timestamps: Sequence[int],
    target: Any,
    time_base: Fraction,
    audio_from: Path | None,
) -> None:
    with av.open(str(segments[0])) as first:
        video = target.add_stream_from_template(first.streams.video[0], opaque=True)
    video.time_base = time_base
    audio = AudioCopy(audio_from, target) if audio_from else None
    decoded = iter(_decoding_times(timestamps, orders))
    begin = 0
    for segment, order in zip(segments, orders, strict=True):
        with av.open(str(segment)) as source:
            packets = (packet for packet in source.demux(source.streams.video[0]) if packet.pts is not None)
            for packet, rank in zip(packets, order, strict=True):
                packet.pts, packet.dts, packet.time_base = timestamps[begin + rank], next(decoded), time_base
                if audio:
                    audio.copy_until(packet.dts * time_base)
                packet.stream = video
                target.mux(packet)
        begin += len(order)
    if audio:
        audio.copy_until(None)


def _display_order(segment: Path) -> list[int]:
    """For every packet in the order of the file: which frame of the piece it shows."""
    with av.open(str(segment)) as source:
        shown = [packet.pts for packet in source.demux(source.streams.video[0]) if packet.pts is not None]
    ranks = {pts: rank for rank, pts in enumerate(sorted(shown))}
    return [ranks[pts] for pts in shown]


def _decoding_times(timestamps: Sequence[int], orders: list[list[int]]) -> list[int]:
    """When each packet is decoded: in order, and early enough for every frame that is shown before its turn."""
    delay = max((i - rank for order in orders for i, rank in enumerate(order)), default=0)
    step = timestamps[1] - timestamps[0] if len(timestamps) > 1 else 1
    return [timestamps[0] - step * k for k in range(delay, 0, -1)] + list(timestamps)
