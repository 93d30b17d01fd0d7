"""When frames are shown: clocks that jump are joined as a player joins them, gaps that are real stay.

Transport and program streams are often several recordings in one file, whose clocks restart, run back or jump ahead.
All streams of a recording are moved by the same time, so that sound stays in step with the pictures.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from .decode import ABSENT, Packets, Record

CAN_JUMP = 0x200
"""AVFMT_TS_DISCONT, of formats whose clocks may jump."""
JUMP_S = 10.0
"""A step from which on a clock has jumped, unless another stream continues meanwhile; as in FFmpeg's command line."""
SILENT_JUMP_S = 600.0
"""The same in a file of one stream, where only its bytes may tell a jump from a slide."""
JITTER_S = 0.01
"""How far the clock of pictures may run back within a recording."""
SOUND_JITTER_S = 0.5
"""How far that of sound may, as it does after lost packets."""
SLIDES = 0.2
"""Share of such steps from which on they are the length of slides."""


@dataclass(frozen=True)
class Clock:
    """How the packets of each stream move, so that recordings in one file follow one another."""

    shifts: Mapping[int, Sequence[tuple[int, Fraction]]] = field(default_factory=dict)
    """By the index of a stream: (first packet, seconds) of every recording; packets without a dts do not count."""

    @property
    def recordings(self) -> int:
        return max(map(len, self.shifts.values()), default=1)

    def shift(self, stream: int, packet: int) -> Fraction:
        """How many seconds a packet of a stream moves."""
        own = self.shifts.get(stream, ())
        index = bisect_right(own, packet, key=lambda entry: entry[0]) - 1
        return own[index][1] if index >= 0 else Fraction(0)


@dataclass(eq=False)
class _Recording:
    position: int
    start: float
    pts: list[int] = field(default_factory=list)
    """Of its pictures."""
    end: float = 0.0
    """Of all its streams, seconds."""


def joined(
    record: Record,
    time_bases: Mapping[int, Fraction],
    continuous: Sequence[int],
    begins_anew: Callable[[int, int], bool] = lambda begin, end: False,
) -> tuple[Clock, list[int]]:
    """Join the recordings of a file.

    Args:
        begins_anew: whether a recording begins between two positions of the file, as its bytes show.
        time_bases: of the streams.
        continuous: indices of the streams with pictures and sound; only their clocks show a jump.

    Returns:
        the clock, and how far every decoded frame moves, in units of its stream.
    """
    recordings, firsts = _recordings(record.packets, time_bases, continuous, record.stream, begins_anew)
    base = time_bases[record.stream]
    shifts = _shifts(recordings, base)
    clock = Clock({stream: [(first, shifts[number]) for first, number in own] for stream, own in firsts.items()})
    moved, number, last = [], 0, ABSENT
    for pts in record.pts:
        if number + 1 < len(recordings) and pts != ABSENT and _is_next(recordings, number, pts, last):
            number += 1
        moved.append(round(shifts[number] / base))
        last = pts
    return clock, moved


def _is_next(recordings: Sequence[_Recording], number: int, pts: int, last: int) -> bool:
    """Whether a frame that is shown after another one belongs to the next recording."""
    own, after = recordings[number].pts, recordings[number + 1].pts
    is_own = bool(own) and min(own) <= pts <= max(own) and pts > last
    return not is_own and bool(after) and min(after) <= pts <= max(after)


def _recordings(
    packets: Packets,
    time_bases: Mapping[int, Fraction],
    continuous: Sequence[int],
    pictures: int,
    begins_anew: Callable[[int, int], bool],
) -> tuple[list[_Recording], dict[int, list[tuple[int, int]]]]:
    """The recordings of a file, and for every stream (its first packet, number) of each."""
    bases = {index: float(base) for index, base in time_bases.items()}
    jumps = _Jumps(packets, bases, continuous)
    found = [_Recording(ABSENT, ABSENT)]
    last: dict[int, float] = {}
    positions: dict[int, int] = {}
    count: dict[int, int] = {}
    firsts: dict[int, list[tuple[int, int]]] = {}
    for stream, pts, dts, duration, position in zip(
        packets.stream, packets.pts, packets.dts, packets.duration, packets.position, strict=True
    ):
        if dts == ABSENT or stream not in bases:
            continue
        time = dts * bases[stream]
        own = firsts.setdefault(stream, [(0, 0)])
        number = own[-1][1]
        follows = number + 1 < len(found) and abs(time - found[number + 1].start) < JUMP_S
        if follows and (position >= found[number + 1].position or time < last.get(stream, time) - JITTER_S):
            number += 1
        elif stream in last and (
            jumps.tells(stream, last[stream], time, SOUND_JITTER_S if stream != pictures else JITTER_S)
            or (jumps.may_be(stream, last[stream], time) and begins_anew(positions[stream], position))
        ):
            if not follows:
                found.append(_Recording(position, time))
                number = len(found) - 1
            else:
                number += 1
        if number != own[-1][1]:
            own.append((count.get(stream, 0), number))
        count[stream], last[stream], positions[stream] = count.get(stream, 0) + 1, time, position
        found[number].end = max(found[number].end, time + duration * bases[stream])
        if stream == pictures and pts != ABSENT:
            found[number].pts.append(pts)
    return found, firsts


class _Jumps:
    """Tells jumps from long steps during which other streams continue, and from slides."""

    def __init__(self, packets: Packets, bases: Mapping[int, float], continuous: Sequence[int]) -> None:
        self.times: dict[int, list[float]] = {index: [] for index in continuous}
        for stream, dts in zip(packets.stream, packets.dts, strict=True):
            if stream in self.times and dts != ABSENT:
                self.times[stream].append(dts * bases[stream])
        self.slides = {stream for stream, times in self.times.items() if _are_slides(times)}
        self.times = {stream: sorted(times) for stream, times in self.times.items()}

    def tells(self, stream: int, last: float, time: float, jitter: float) -> bool:
        """Whether the clock jumped between two packets of a stream."""
        if stream not in self.times:
            return False
        if time <= last + (JUMP_S if len(self.times) > 1 else SILENT_JUMP_S):
            return time < last - jitter
        others = (times for other, times in self.times.items() if other != stream)
        continues = any(bisect_left(times, last + 1) < bisect_left(times, time - 1) for times in others)
        return not continues and stream not in self.slides

    def may_be(self, stream: int, last: float, time: float) -> bool:
        """Whether the clock of a file of one stream jumped, or a picture is shown for long."""
        return len(self.times) == 1 and stream in self.times and time > last + JUMP_S


def _are_slides(times: Sequence[float]) -> bool:
    steps = [after - before for before, after in itertools.pairwise(times)]
    return sum(step > JUMP_S for step in steps) > SLIDES * len(steps)


def _shifts(recordings: Sequence[_Recording], base: Fraction) -> list[Fraction]:
    """How far each recording moves, in seconds, so that its first picture follows the last one before it."""
    shifts = [Fraction(0)]
    for before, after in itertools.pairwise(recordings):
        if before.pts and after.pts:
            gap = max(before.pts) + typical_step(before.pts) - min(after.pts)
            shifts.append(shifts[-1] + gap * base)
        else:
            shifts.append(shifts[-1] + Fraction(before.end - after.start).limit_denominator(90000))
    return shifts


def typical_step(times: Sequence[int]) -> int:
    """The median step between sorted times; 1 where there is none."""
    ordered = sorted(set(times))
    steps = sorted(after - before for before, after in itertools.pairwise(ordered))
    return max(1, steps[len(steps) // 2]) if steps else 1


def in_order(shown: Sequence[int], step: int) -> tuple[int, ...]:
    """Presentation times that rise; one that is missing or does not rise becomes one frame after the previous one.

    Those that are missing at the start, as negative ones are in Matroska, end at the first one that is not.

    Args:
        shown: times of the decoded frames, or ``ABSENT``.
    """
    known: list[int] = []
    begin = next((time - step * index for index, time in enumerate(shown) if time != ABSENT), 0)
    for time in shown:
        after = known[-1] + step if known else begin
        known.append(after if time == ABSENT or (known and time <= known[-1]) else time)
    return tuple(known)


def by_decoding_times(count: int, decoded: Sequence[int]) -> list[int] | None:
    """The times of frames in a container that stores only when packets are decoded, as AVI does.

    What is shown k-th is shown at the k-th of these times. None where they are not known of every frame.
    """
    times = sorted(decoded)
    return times[:count] if len(times) >= count and ABSENT not in times else None
