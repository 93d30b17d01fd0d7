"""When every frame of a file is shown, where its shots begin, and what is wrong with it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.reformatter import Interpolation

from ..errors import MediaError, phrase
from .clock import CAN_JUMP, Clock, by_decoding_times, in_order, joined, typical_step
from .decode import ABSENT, Record, iter_frames
from .fields import Fields
from .info import VideoInfo, opened, picture_stream, probe
from .losses import find_losses, image_losses, sentence
from .section import is_between
from .sequence import images, is_sequence
from .shot_detection import ShotDetector, thumbnail_size
from .swscale import convert
from .traces import begins_anew
from .truncation import missing_bytes

REMEDY = "; repair or export it again"
KEPT = "; what can be read is kept with its timing and in step with the sound; repair or export it again for the rest"

REPEATS_BYTES = 17
"""Of MPEG-4: what is not coded takes less."""


@dataclass(frozen=True)
class Timeline:
    """Presentation times of a file's frames, and its shot boundaries."""

    timestamps: tuple[int, ...]
    """Presentation time of every frame in units of ``time_base``."""
    time_base: Fraction
    cuts: tuple[int, ...]
    """First frames of new shots."""
    last_duration: int = 0
    """How long the last frame is shown, in units of ``time_base``; 0 when unknown: as long as the one before."""
    notices: tuple[str, ...] = ()
    """A sentence about each thing that is wrong with the file."""
    clock: Clock = field(default=Clock())
    """How the packets of other streams move with the pictures."""
    is_damaged: bool = False
    """Whether frames must be decoded by one thread, so that they are the same each time."""


@dataclass(frozen=True)
class _Facts:
    """Of a container."""

    can_jump: bool
    has_only_dts: bool
    kind: str
    """libav's name of it."""
    least_bytes: int
    """Smaller packets only say that the last picture is repeated."""
    time_bases: dict[int, Fraction]
    continuous: tuple[int, ...]
    """Indices of streams with pictures or sound."""
    end: int | None
    """Where the header states that the pictures end, in units of their stream."""
    section: tuple[int | None, int | None]
    """Between which times frames were looked for, in units of their stream."""


def scan(
    path: str | Path | VideoInfo,
    *,
    find_cuts: bool = True,
    on_frame: Callable[[], None] | None = None,
    strict: bool = True,
    on_decoded: Callable[[av.VideoFrame], None] | None = None,
) -> Timeline:
    """Decode a video file without keeping its frames.

    Args:
        path: a file, or what :func:`info.probe` found about it.
        on_frame: called for every frame; raise from it to stop.
        strict: refuse a damaged file, and a sequence that lacks images, instead of keeping what can be read.
        on_decoded: receives every frame.

    Raises:
        MediaError: when there is no such file, it has no video, or it is damaged and this is ``strict``.
    """
    info = path if isinstance(path, VideoInfo) else probe(path)

    def decode(one_thread: bool) -> Timeline:
        record, look = Record(), _Look(find_cuts, on_frame, on_decoded)
        frames = iter_frames(info.path, fields=info.fields, section=info.section, record=record, one_thread=one_thread)
        for frame in frames:
            look(frame)
        return _timeline(info, record, look.cuts, strict=strict)

    if is_sequence(info.path):
        return decode(one_thread=False)
    with suppress(MediaError):  # among several threads what can be read of a damaged file may be lost
        timeline = decode(one_thread=False)
        if not timeline.is_damaged:
            return timeline
    return replace(decode(one_thread=True), is_damaged=True)


def count_frames(info: VideoInfo) -> int:
    """How many frames a video has, without decoding it: from its header, unless that cannot be relied on.

    Where clocks may jump, the duration tells nothing, and packets are counted.
    """
    if is_sequence(info.path) or not info.section.is_all:
        return info.frames
    with opened(info.path) as container:
        if info.frames and not int(container.format.flags) & CAN_JUMP:
            return info.frames
        stream = picture_stream(info.path, container)
        packets = sum(bool(packet.size) and not packet.is_discard for packet in container.demux(stream))
    return max(1, round(packets * info.fields.rate))


class _Look:
    """What is done with every frame."""

    def __init__(
        self,
        find_cuts: bool,
        on_frame: Callable[[], None] | None,
        on_decoded: Callable[[av.VideoFrame], None] | None,
    ) -> None:
        self.detector = ShotDetector() if find_cuts else None
        self.calls, self.on_frame = on_decoded, on_frame
        self.count = 0
        self.cuts: tuple[int, ...] = ()

    def __call__(self, frame: av.VideoFrame) -> None:
        if self.detector is not None:
            width, height = thumbnail_size(frame.width, frame.height)
            thumb = convert(frame, format="rgb24", width=width, height=height, interpolation=Interpolation.AREA)
            if self.detector.begins_shot(thumb.to_ndarray()):
                self.cuts = (*self.cuts, self.count)
        self.count += 1
        if self.calls:
            self.calls(frame)
        if self.on_frame:
            self.on_frame()


def _timeline(info: VideoInfo, record: Record, cuts: tuple[int, ...], *, strict: bool) -> Timeline:
    step = max(1, round(1 / info.fps / info.time_base))
    lights = [_lights_sentence(info.path, record)] if record.not_finite else []
    if is_sequence(info.path):
        losses = image_losses(info.path, record, strict=strict)
        return Timeline(in_order(record.pts, step), info.time_base, cuts, notices=(*losses, *lights))
    with opened(info.path) as container:
        facts = _facts(info, container)
    clock, moved = Clock(), [0] * len(record.pts)
    if facts.can_jump:
        clock, moved = joined(record, facts.time_bases, facts.continuous, _finder_of_recordings(info.path, facts.kind))
    base = info.time_base * info.fields.division
    step = max(1, round(info.fields.rate / info.fps / base))
    times = _times(record, moved, facts, step)
    notices = [*lights, *([info.fields.sentence(info.path.name)] if info.fields.is_found else [])]
    notices += [_joined_sentence(info.path.name, clock)] if clock.recordings > 1 else []
    stated = _stated(record, moved, facts)
    missing = missing_bytes(info.path) if info.section.end is None else 0
    lost = find_losses(record, stated, times, facts.end, missing, info.path, facts.kind)
    if lost:
        said = sentence(info.path.name, lost, len(times), round(info.origin / base), base)
        if strict:
            raise MediaError(f"{said}{REMEDY}.")
        notices.append(phrase(f"{said}{KEPT}."))
    last = _last_duration(record, moved, times, facts, is_damaged=bool(lost))
    if info.fields.filters:
        times, last = _retime(times, last, record.ordinals, info.fields)
    return Timeline(times, info.time_base, cuts, last, tuple(notices), clock, bool(lost))


def _retime(
    times: Sequence[int], last: int, ordinals: Sequence[Fraction], fields: Fields
) -> tuple[tuple[int, ...], int]:
    """When the frames that filters made are shown, and the last one's duration, in the finer time base.

    Args:
        times, last: those of the decoded frames.
        ordinals: which of these each frame is shown with.
    """
    step = typical_step(times)
    steps = [min(after - before, step) for before, after in itertools.pairwise(times)] + [step]
    made = []
    for ordinal in ordinals:
        whole = min(int(ordinal), len(times) - 1)
        made.append(round((times[whole] + (ordinal - whole) * steps[whole]) * fields.division))
    end = (times[-1] + (last or step)) * fields.division
    return in_order(made, 1), max(1, end - made[-1])


def _stated(record: Record, moved: Sequence[int], facts: _Facts) -> list[int]:
    """When the packets with pictures state that they are shown; none where recordings overlap."""
    packets = record.packets
    shown = packets.dts if facts.has_only_dts else packets.pts
    columns = zip(packets.stream, shown, packets.size, strict=True)
    own = [time for stream, time, size in columns if stream == record.stream and size >= facts.least_bytes]
    return [] if any(moved) else [time for time in own if time != ABSENT and is_between(time, *facts.section)]


def _times(record: Record, moved: Sequence[int], facts: _Facts, step: int) -> tuple[int, ...]:
    if facts.has_only_dts:
        packets = record.packets
        own = (d for s, d in zip(packets.stream, packets.dts, strict=True) if s == record.stream)
        decoded = [time for time in own if is_between(time, *facts.section)]
        known = by_decoding_times(len(record.pts), decoded)
        if known is not None:
            return in_order(known, step)
    shown = [pts if pts == ABSENT else pts + move for pts, move in zip(record.pts, moved, strict=True)]
    return in_order(shown, step)


def _facts(info: VideoInfo, container: InputContainer) -> _Facts:
    stream = picture_stream(info.path, container)
    streams = container.streams
    continuous = (stream.index, *(sound.index for sound in streams.audio))
    kind = container.format.name
    return _Facts(
        can_jump=bool(int(container.format.flags) & CAN_JUMP),
        has_only_dts=kind == "avi",
        kind=kind,
        least_bytes=REPEATS_BYTES if stream.codec_context.name == "mpeg4" else 1,
        time_bases={other.index: other.time_base for other in streams if other.time_base},
        continuous=continuous,
        end=_declared_end(container, stream) if "matroska" in kind and info.section.end is None else None,
        section=info.section.units(info.time_base * info.fields.division),
    )


def _declared_end(container: InputContainer, stream: av.VideoStream) -> int | None:
    """Where a Matroska file states that its pictures end."""
    base = stream.time_base or Fraction(1, av.time_base)
    stated = next((text for name, text in stream.metadata.items() if name.upper() == "DURATION"), None)
    if stated:
        hours, minutes, seconds = stated.split(":")
        return round((int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)) / base)
    if container.duration and len(container.streams) == 1:
        return round(Fraction(container.duration, av.time_base) / base)
    return None


def _last_duration(
    record: Record, moved: Sequence[int], times: Sequence[int], facts: _Facts, *, is_damaged: bool
) -> int:
    """From the packet of the last frame; in intact Matroska, MP4 and MOV files from the end of the stream."""
    packets = record.packets
    last = record.pts[-1]
    own = zip(packets.stream, packets.pts, packets.duration, strict=True)
    stated = max((duration for stream, pts, duration in own if stream == record.stream and pts == last), default=0)
    if is_damaged:
        return stated
    if "mp4" in facts.kind and facts.section == (None, None):
        return _left_by_decoding(record) or stated
    rest = 0 if facts.end is None else facts.end - times[-1]
    is_rounded = abs(rest - stated) <= max(1, stated // 10)
    return stated if rest <= 0 or is_rounded else rest


def _left_by_decoding(record: Record) -> int:
    """How long the last frame is shown, where only the times between two frames as they are decoded are stored.

    0 where the last frame is also decoded last, or what is shown first is not decoded first, as in a cut file.
    """
    packets = record.packets
    own = [index for index, stream in enumerate(packets.stream) if stream == record.stream]
    pts = [packets.pts[index] for index in own]
    first, last = own[0], own[-1]
    if ABSENT in pts or packets.pts[first] != min(pts) or packets.pts[last] == max(pts):
        return 0
    whole = packets.dts[last] + packets.duration[last] - packets.dts[first]
    return max(0, whole - (max(pts) - min(pts)))


def _finder_of_recordings(path: Path, kind: str) -> Callable[[int, int], bool]:
    """Looks between two positions of a transport stream; other files show nothing."""
    if kind != "mpegts":
        return lambda begin, end: False
    return lambda begin, end: ABSENT not in (begin, end) and begins_anew(path, begin, end)


def _lights_sentence(path: Path, record: Record) -> str:
    first = record.not_finite[0]
    name = images(path)[record.pts[first]].name if is_sequence(path) else path.name
    return phrase(
        f"{len(record.not_finite)} of {len(record.pts)} images have pixels that are NaN or Inf, the first is {name}; "
        "NaN is read as black, Inf as the brightest light that an EXR holds."
    )


def _joined_sentence(name: str, clock: Clock) -> str:
    return phrase(
        f"{name} holds {clock.recordings} recordings whose clocks do not follow one another; they are joined."
    )
