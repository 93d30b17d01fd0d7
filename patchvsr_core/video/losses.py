"""What is missing or damaged in a file, and the sentence that says so.

Recordings have gaps that are none of its faults: slides, held frames, variable frame rates. A gap counts as a loss only
where something else says so too: packets that did not decode, errors of the decoder or the transport, bytes that no
packet accounts for.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ..errors import MediaError, phrase
from .clock import typical_step
from .decode import ABSENT, Record
from .sequence import images, missing_numbers
from .traces import is_broken_transport, unread_matroska

GAP_STEPS = 1.5
"""A step between two frames that has room for another one, in typical steps."""
SHORT_GAP_STEPS = 4.5
REGULAR = 0.9
"""Share of steps of about the typical length from which on a frame rate is constant."""
UNREAD = 0.25
"""Share of the bytes that lost frames would have, from which on a hole is taken for them."""
LEAST_HOLE = 128
"""Bytes between two packets that the headers of Matroska need."""
REORDERED = 4
"""How many frames around a gap are looked at, as packets are in another order."""
MOST_PLACES = 3
"""Of losses, or images, that a sentence names."""


@dataclass(frozen=True)
class Loss:
    """Frames that are missing in one place."""

    time: int
    """Of the last frame before, in units of the time base; that of the first frame where none is before."""
    frames: int
    is_start: bool = False


@dataclass(frozen=True)
class Losses:
    """Of one file."""

    losses: tuple[Loss, ...] = ()
    doubtful: int = 0
    """Frames of which the decoder made up a part."""
    missing_bytes: int = 0
    """At the end."""
    errors: int = 0
    """Packets that the decoder refused."""

    @property
    def frames(self) -> int:
        """How many are missing."""
        return sum(loss.frames for loss in self.losses)

    def __bool__(self) -> bool:
        return bool(self.losses or self.doubtful or self.missing_bytes or self.errors)


def find_losses(
    record: Record,
    stated: Sequence[int],
    times: Sequence[int],
    end: int | None,
    missing_bytes: int,
    path: Path,
    kind: str,
) -> Losses:
    """Find what is missing of a file.

    Args:
        stated: when the packets say that they are shown.
        times: of the decoded frames, rising.
        end: where the container says that the pictures end, in their unit; None where it does not.
        missing_bytes: at the end.
        path, kind: the file, and libav's name of its container.
    """
    step = _frame_step(record, times)
    evidence = _Evidence(record, missing_bytes, path, kind)
    packets = sorted(stated)
    losses = [_at_start(record, packets, times)]
    doubtful_gaps: list[Loss] = []
    for index, (before, after) in enumerate(itertools.pairwise(times)):
        if after - before > GAP_STEPS * step:
            inside = [time for time in packets if before + step / 2 < time < after - step / 2]
            guess = evidence.frames_between(index, before, after, step) if _is_regular(times, step) else 0
            losses.append(Loss(before, max(len(inside), guess)))
            if not losses[-1].frames and after - before < SHORT_GAP_STEPS * step and _is_regular(times, step):
                doubtful_gaps.append(Loss(before, round((after - before) / step) - 1))
    losses.append(_at_end(evidence, packets, times, step, end))
    if any(loss.frames for loss in losses):  # of a damaged file short gaps are losses too
        losses = sorted([*losses, *doubtful_gaps], key=lambda loss: (not loss.is_start, loss.time))
    doubtful = sum(record.is_corrupt)
    return Losses(tuple(loss for loss in losses if loss.frames > 0), doubtful, missing_bytes, record.errors)


def sentence(name: str, lost: Losses, found: int, first: int, time_base: Fraction) -> str:
    """What is missing, where, and what is done about it.

    Args:
        found: frames that can be read.
        first: time of the first frame.
    """
    parts = []
    if lost.missing_bytes:
        parts.append(phrase(f"{lost.missing_bytes} bytes are missing at the end"))
    if lost.frames:
        places = _listed([_place(loss, first, time_base) for loss in lost.losses])
        of = found + lost.frames
        parts.append(phrase(f"{lost.frames} of {of} frames are missing ({places})"))
    if lost.doubtful:
        parts.append(phrase(f"errors show in {lost.doubtful} of the frames that can be read"))
    if not parts:
        parts.append(phrase(f"{lost.errors} packets cannot be decoded"))
    return phrase(f"{name} is truncated or damaged: {'; '.join(parts)}")


def image_losses(path: Path, record: Record, *, strict: bool) -> list[str]:
    """A sentence each about images of a sequence that are missing, and about those of which a part is missing.

    Raises:
        MediaError: when this is ``strict`` and there are any.
    """
    whole = images(path)
    files = [whole[number] for number in record.pts]
    missing = missing_numbers(path, files)
    doubtful = [file.name for file, is_corrupt in zip(files, record.is_corrupt, strict=False) if is_corrupt]
    found = []
    if missing:
        total, spans = len(files) + len(missing), _listed(_spans(missing))
        said = phrase(f"{len(missing)} of {total} images of {path.name} are missing ({spans})")
        found.append((said, phrase(f"{said}; the others are shown one after another.")))
    if doubtful:
        names = _listed(doubtful)
        said = phrase(f"{len(doubtful)} of {len(files)} images of {path.name} are truncated or damaged ({names})")
        found.append((said, phrase(f"{said}; what they lack stays empty; render or copy them again.")))
    if found and strict:
        raise MediaError(f"{found[0][0]}; render or copy them again.")
    return [notice for _, notice in found]


def _spans(numbers: Sequence[int]) -> list[str]:
    """``4-6`` and the like."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]


def _listed(places: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(places) - MOST_PLACES
    return ", ".join([*places[:MOST_PLACES], *([phrase(f"and in {more} other places")] if more > 0 else [])])


def _place(loss: Loss, first: int, time_base: Fraction) -> str:
    if loss.is_start:
        return phrase(f"{loss.frames} at the start")
    return phrase(f"{loss.frames} after {float((loss.time - first) * time_base):.2f} s")


def _frame_step(record: Record, times: Sequence[int]) -> int:
    """How long a frame usually is: as packets state it, as most of a file may be missing."""
    packets = record.packets
    stated = sorted(d for s, d in zip(packets.stream, packets.duration, strict=True) if s == record.stream and d > 0)
    found = typical_step(times)
    return min(found, stated[len(stated) // 2]) if stated else found


def _at_start(record: Record, packets: Sequence[int], times: Sequence[int]) -> Loss:
    """What was cut off from the frames that it refers to."""
    step = _frame_step(record, times)
    before = sum(time < times[0] - step / 2 for time in packets)
    is_stated = any(pts != ABSENT for pts in record.packets.pts)
    unplaced = 0
    if is_stated and packets:
        sizes = zip(record.packets.stream, record.packets.pts, record.packets.size, strict=True)
        unplaced = sum(s == record.stream and pts == ABSENT for s, pts, size in sizes)
        unplaced = min(unplaced, max(0, len(packets) + unplaced - before - len(times)))
    return Loss(times[0], before + unplaced, is_start=True)


def _at_end(evidence: _Evidence, packets: Sequence[int], times: Sequence[int], step: int, end: int | None) -> Loss:
    after = sum(time > times[-1] + step / 2 for time in packets)
    if end is None or end - times[-1] <= (1 + GAP_STEPS) * step or not _is_regular(times, step):
        return Loss(times[-1], after)
    return Loss(times[-1], max(after, evidence.frames_between(len(times) - 1, times[-1], end, step)))


def _is_regular(times: Sequence[int], step: int) -> bool:
    usual = sum(abs(after - before - step) <= max(1, step / 5) for before, after in itertools.pairwise(times))
    return usual >= REGULAR * (len(times) - 1) - 2


class _Evidence:
    """Whether a gap is a loss."""

    def __init__(self, record: Record, missing_bytes: int, path: Path, kind: str) -> None:
        self.record, self.path, self.kind, self.is_cut = record, path, kind, missing_bytes > 0
        packets = record.packets
        own = [index for index, stream in enumerate(packets.stream) if stream == record.stream]
        sizes = sorted(packets.size[index] for index in own)
        self.usual = sizes[len(sizes) // 2] if sizes else 0
        self.suspects = sorted(packets.pts[i] for i in own if packets.is_corrupt[i] and packets.pts[i] != ABSENT)
        self.positions = {packets.pts[i]: packets.position[i] for i in own if packets.position[i] != ABSENT}

    def frames_between(self, index: int, before: int, after: int, step: int) -> int:
        """How many frames are missing after the frame with this index; 0 where nothing speaks for a loss."""
        count = round((after - before) / step) - 1
        corrupt = self.record.is_corrupt[max(0, index - 1) : index + 3]
        near = any(before - 2 * step <= time <= after + 2 * step for time in self.suspects)
        is_damaged = any(corrupt) or near or self.record.errors or self.is_cut or self._has_traces(index, count)
        return max(0, count) if is_damaged else 0

    def _has_traces(self, index: int, count: int) -> bool:
        """Whether bytes of the file between a frame and the next one are broken."""
        shown = self.record.pts
        begin = self.positions.get(shown[index])
        end = self.positions.get(shown[index + 1]) if index + 1 < len(shown) else None
        if self.kind == "mpegts" and begin is not None and end is not None:
            return is_broken_transport(self.path, min(begin, end), max(begin, end))
        if "matroska" not in self.kind:
            return False
        if index + 1 == len(shown):
            last, size = max(zip(self.record.packets.position, self.record.packets.size, strict=True))
            return last != ABSENT and unread_matroska(self.path, last, size) > 0
        return self._hole(index) > UNREAD * count * self.usual

    def _hole(self, index: int) -> int:
        """The most bytes between two packets around a frame that no packet of a Matroska file accounts for."""
        packets, shown = self.record.packets, self.record.pts
        low, high = shown[max(0, index - REORDERED)], shown[min(len(shown) - 1, index + REORDERED)]
        own = range(len(packets.pts))
        near = [i for i in own if packets.stream[i] == self.record.stream and low <= packets.pts[i] <= high]
        holes = [
            packets.position[i + 1] - packets.position[i] - packets.size[i]
            for i in range(near[0], min(near[-1] + 1, len(packets.pts) - 1))
            if ABSENT not in (packets.position[i], packets.position[i + 1])
        ]
        return max(holes, default=0) - LEAST_HOLE
