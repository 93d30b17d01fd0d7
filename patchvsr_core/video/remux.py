"""Joins encoded segments into one file by remuxing.

Every segment is encoded independently, so a finished one never changes; joining copies packets and is
fast. Presentation times come from the input's timeline, not from the segments.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av

from ..errors import OutputError
from ..files import commit_file
from .audio import AUTO
from .clock import Clock
from .encoder_trial import check_encoder
from .encoders import FILMS
from .hdr import LightMetadata, template_with
from .hidden_names import partial_of
from .info import VideoInfo
from .local_files import local_url
from .matroska import SPARE, display_size, put_display_size
from .passthrough import PassthroughStreams
from .picture import Picture
from .picture_tags import has_camera_tags
from .section import Section
from .sequence import is_sequence
from .writer import DETERMINISTIC, VideoWriter, explain_write_errors

log = logging.getLogger("patchvsr")


def check_container(path: Path, size: tuple[int, int], info: VideoInfo, **choices: Any) -> None:
    """Raise before the work starts what :func:`join` would raise at the end: that a container lacks support.

    Args:
        choices: options of :class:`VideoWriter`, and ``subtitles`` and ``audio``.

    Raises:
        OutputError: when the container does not support the video, audio or subtitles.
    """
    kept: dict[str, Any] = {name: choices.pop(name) for name in ("subtitles", "audio") if name in choices}
    sources = (
        [None] if is_sequence(info.path) else [None, info.path]
    )  # without other streams first, to find out which one is at fault
    for source in sources:
        try:
            _try_header(path, size, info, source, kept, choices)
        except OutputError:
            check_encoder(path, size, info.fps, **choices)
            raise


def _try_header(
    path: Path,
    size: tuple[int, int],
    info: VideoInfo,
    source: Path | None,
    kept: Mapping[str, Any],
    choices: Mapping[str, Any],
) -> None:
    """Write the header of a result with the other streams of ``source``, and drop it."""
    with suppress(_HeaderWritten), VideoWriter(path, size, (), 1 / info.fps, fps=info.fps, **choices) as writer:
        others = PassthroughStreams(source, writer.container, path.suffix, **kept) if source else None
        _start(path, writer.container, others)
        for note in others.notes if others else ():
            log.warning("%s", note)
        raise _HeaderWritten


class _HeaderWritten(Exception):
    """Leaves the context of a writer without creating a file."""


def _start(path: Path, container: av.container.OutputContainer, others: PassthroughStreams | None) -> None:
    """Write the header, where the muxer rejects unsupported streams."""
    try:
        container.start_encoding()
    except (av.error.FFmpegError, ValueError) as error:
        if others is None or not others.streams:
            raise OutputError(f"{path.name} cannot be written ({error}); choose another format.") from error
        raise OutputError(
            f"The audio or subtitles cannot be stored in a {path.suffix} file ({error})",
            flag="write to .mkv instead, or leave them out with --audio none --no-subtitles",
            node="set format to mkv, or turn keep_subtitles off",
        ) from error


def join(
    segments: Sequence[Path],
    path: Path,
    timestamps: Sequence[int],
    time_base: Fraction,
    fps: Fraction,
    others_from: Path | None = None,
    *,
    origin: Fraction = Fraction(0),
    section: Section = Section(),
    last_duration: int = 0,
    clock: Clock = Clock(),
    subtitles: bool = True,
    audio: str = AUTO,
    picture: Picture = Picture(),
    notes: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write all segments to one file, with the other streams of ``others_from``; it gets its name when complete.

    Args:
        timestamps: presentation time of every frame of all segments, in units of ``time_base``.
        origin: time in ``others_from``, in seconds, that becomes 0.
        section: which part of it is kept.
        audio: one of :data:`audio.CHOICES`.
        picture: its pixel aspect and HDR metadata go into the header.
        last_duration: of the last frame, in units of ``time_base``; 0 for as long as the one before.
        clock: how the packets of ``others_from`` move.

    Raises:
        OutputError: when the target cannot be written, or a segment is damaged.
    """
    partial = partial_of(path)
    is_reshaped = picture.pixel_aspect != 1 and path.suffix.lower() in (".mkv", ".webm")
    orders = _checked_orders(segments, path, len(timestamps))
    durations = _durations(timestamps, last_duration, fps, time_base, orders, is_film=path.suffix.lower() in FILMS)
    kept: dict[str, Any] = {
        "origin": origin,
        "section": section,
        "clock": clock,
        "subtitles": subtitles,
        "audio": audio,
    }
    try:
        with explain_write_errors(path):
            with av.open(local_url(partial), "w", options=_container_options(path, notes, others_from)) as target:
                video = _picture_stream(segments[0], target, time_base, picture.light)
                others = PassthroughStreams(others_from, target, path.suffix, **kept) if others_from else None
                _put_notes(target, notes)
                if is_reshaped:
                    video.metadata["title"] = video.metadata.get("title", "") + SPARE
                _copy(segments, orders, timestamps, target, video, others, durations)
            if is_reshaped:
                put_display_size(partial, display_size(_size_of(segments[0]), picture.pixel_aspect))
            commit_file(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _checked_orders(segments: Sequence[Path], path: Path, frames: int) -> list[list[int]]:
    """The display order of every segment; together they have to hold all frames."""
    orders = [display_order(segment) for segment in segments]
    found = sum(map(len, orders))
    if found != frames:
        raise OutputError(
            f"The chunks of {path.name} have {found} frames instead of {frames}",
            flag="start again with --fresh",
            node="set when_unfinished to start again",
        )
    return orders


def _put_notes(target: av.container.OutputContainer, notes: Mapping[str, str]) -> None:
    """Tags of the file, replacing those of the same names, whatever their case."""
    for name in [name for name in target.metadata if name.lower() in notes]:
        del target.metadata[name]
    target.metadata.update(notes)


def _size_of(segment: Path) -> tuple[int, int]:
    """(height, width)."""
    with av.open(local_url(segment)) as source:
        stream = source.streams.video[0]
        return stream.height, stream.width


def _container_options(path: Path, notes: Mapping[str, str], others_from: Path | None) -> dict[str, str]:
    """MP4 stores custom tags only with an option."""
    if path.suffix.lower() in FILMS and (notes or (others_from and has_camera_tags(others_from))):
        return {**DETERMINISTIC, "movflags": "use_metadata_tags"}
    return DETERMINISTIC


def _picture_stream(
    first: Path, target: av.container.OutputContainer, time_base: Fraction, light: LightMetadata
) -> av.VideoStream:
    """Create the video stream from the template of the first segment."""
    with (
        av.open(local_url(first)) as segment,
        _template(first, segment, light) as template,
    ):
        stream = target.add_stream_from_template(template.streams.video[0], opaque=True)
        stream.metadata.update(segment.streams.video[0].metadata)  # the alpha flag of WebM
        if segment.format.name == target.format.name or "mov" in segment.format.name:
            stream.codec_context.codec_tag = segment.streams.video[0].codec_context.codec_tag  # the profile of ProRes
    stream.time_base = time_base
    return stream


def _template(first: Path, segment: Any, light: LightMetadata) -> AbstractContextManager[Any]:
    """Where the stream comes from."""
    if not light.is_static:
        return nullcontext(segment)
    return av.open(template_with(first, light))


def _copy(
    segments: Sequence[Path],
    orders: list[list[int]],
    timestamps: Sequence[int],
    target: av.container.OutputContainer,
    video: av.VideoStream,
    others: PassthroughStreams | None,
    durations: Sequence[int],
) -> None:
    time_base = video.time_base
    assert time_base is not None
    decoded = iter(_decoding_times(timestamps, orders))
    begin = 0
    for segment, order in zip(segments, orders, strict=True):
        with av.open(local_url(segment)) as source:
            packets = (packet for packet in source.demux(source.streams.video[0]) if packet.pts is not None)
            for packet, rank in zip(packets, order, strict=True):
                packet.pts, packet.dts, packet.time_base = timestamps[begin + rank], next(decoded), time_base
                packet.duration = durations[begin + rank]
                if others:
                    others.copy_until(packet.dts * time_base)
                packet.stream = video
                target.mux(packet)
        begin += len(order)
    if others:
        others.copy_until(None)


def _durations(
    timestamps: Sequence[int],
    last: int,
    fps: Fraction,
    time_base: Fraction,
    orders: list[list[int]],
    *,
    is_film: bool,
) -> list[int]:
    """How long every frame is shown; the last one as long as the one before, unless that is known.

    MP4 and MOV store only the time between two frames as they are decoded, whose sum is the length of the film: there
    the frame that is decoded last, which need not be the last one shown, gets what is left of it.
    """
    steps = [after - before for before, after in itertools.pairwise(timestamps)]
    durations = [*steps, last or (steps[-1] if steps else round(1 / fps / time_base))]
    decoded_last = len(timestamps) - len(orders[-1]) + orders[-1][-1]
    if is_film and decoded_last != len(timestamps) - 1:
        decoded, end = _decoding_times(timestamps, orders), timestamps[-1] + durations[-1]
        left = end - timestamps[0] - (decoded[len(timestamps) - 1] - decoded[0])
        durations[decoded_last] = max(1, min(left, end - timestamps[decoded_last]))
    return durations


def display_order(segment: Path) -> list[int]:
    """The display index of every packet, in file order."""
    with av.open(local_url(segment)) as source:
        shown = [packet.pts for packet in source.demux(source.streams.video[0]) if packet.pts is not None]
    ranks = {pts: rank for rank, pts in enumerate(sorted(shown))}
    return [ranks[pts] for pts in shown]


def _decoding_times(timestamps: Sequence[int], orders: list[list[int]]) -> list[int]:
    """Decoding timestamps: increasing, and early enough for reordered frames."""
    delay = max((i - rank for order in orders for i, rank in enumerate(order)), default=0)
    step = timestamps[1] - timestamps[0] if len(timestamps) > 1 else 1
    return [timestamps[0] - step * k for k in range(delay, 0, -1)] + list(timestamps)
