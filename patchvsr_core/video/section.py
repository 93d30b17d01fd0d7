"""A part of a clip, chosen by time."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from ..errors import PlanError

TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")
FRAME = re.compile(r"(\d+)f")


@dataclass(frozen=True)
class Section:
    """Frames that are shown from ``begin`` until before ``end``, in seconds of their file's clock."""

    begin: Fraction | None = None
    """None: from the first frame on."""
    end: Fraction | None = None
    """None: to the last frame."""

    @property
    def is_all(self) -> bool:
        return self.begin is None and self.end is None

    def units(self, time_base: Fraction) -> tuple[int | None, int | None]:
        """(begin, end) in units of ``time_base``, both rounded down, so that sections that meet share no frame."""
        begin, end = (None if time is None else math.floor(time / time_base) for time in (self.begin, self.end))
        return begin, end

    def numbers(self, frames: int, fps: Fraction, time_base: Fraction, origin: Fraction) -> range:
        """Which frames of a clip lie in it, where they are equally far apart.

        Args:
            frames: of the whole clip; 0 when unknown.
            time_base: unit of their times, seconds.
            origin: time of the first one, in seconds.
        """
        half = Fraction(1, 2)  # a time is that of the frame, rounded to its unit
        begin, end = (None if time is None else (time - half) * time_base for time in self.units(time_base))
        first = 0 if begin is None else max(0, math.ceil((begin - origin) * fps))
        last = frames if end is None else math.ceil((end - origin) * fps)
        return range(first, max(first, min(last, frames or last)))


def is_between(time: int | None, begin: int | None, end: int | None) -> bool:
    """Whether a time lies within what :meth:`Section.units` gives; one that nobody knows may."""
    return time is None or ((begin is None or begin <= time) and (end is None or time < end))


def parse_time(text: str, fps: Fraction) -> Fraction:
    """Seconds of a time that a user wrote: ``12.5``, ``1:02.5``, ``1:00:00``, or ``120f`` for a number of frames.

    Raises:
        PlanError: when it is none.
    """
    if frame := FRAME.fullmatch(text):
        return int(frame[1]) / fps
    if (time := TIME.fullmatch(text)) is None:
        raise PlanError(f"{text} is not a time; write seconds (12.5), minutes (1:02.5), or frames (120f).")
    hours, minutes, seconds = (Fraction(part) if part else Fraction(0) for part in time.groups())
    return hours * 3600 + minutes * 60 + seconds
