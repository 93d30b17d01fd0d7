"""When decoded sound is heard: gaps stay, and what single timestamps err by does not become one."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

WINDOW_S = 0.4
"""Of sound whose timestamps are compared: those of WMA and of MP3 in AVI err by a packet now and then."""
STEP_S = 0.006
"""How far sound may be from its timestamps before it moves."""


@dataclass(frozen=True)
class _Held:
    frame: Any
    samples: int
    """Before this frame."""
    offset: float
    """What its timestamp exceeds the time of these samples by, seconds."""


class SteadyTimes:
    """Gives frames the times at which they follow one another, except where the sound has a gap or an overlap.

    A gap is where most timestamps of the next :data:`WINDOW_S` seconds have moved by more than :data:`STEP_S`.
    """

    def __init__(self) -> None:
        self._held: deque[_Held] = deque()
        self._samples = 0
        self._offset: float | None = None

    def add(self, frame: Any) -> Iterator[Any]:
        """Frames whose times are known, in order, with a pts in samples."""
        rate = frame.sample_rate
        heard = self._samples / rate
        stated = None if frame.pts is None else float(frame.pts * frame.time_base)
        last = self._held[-1].offset if self._held else self._offset or 0.0
        self._held.append(_Held(frame, self._samples, last if stated is None else stated - heard))
        self._samples += frame.samples
        while self._held and (self._samples - self._held[0].samples) / rate > WINDOW_S:
            yield self._next()

    def rest(self) -> Iterator[Any]:
        """The frames that are still held."""
        while self._held:
            yield self._next()

    def _next(self) -> Any:
        offsets = [held.offset for held in self._held]
        usual = statistics.median(offsets)
        if self._offset is None:  # between the first timestamp and the others, where no gap is needed for that
            self._offset = (offsets[0] + usual) / 2 if abs(offsets[0] - usual) < 2 * STEP_S else usual
        near = (offsets[0], statistics.median(offsets[:3]))
        if abs(usual - self._offset) > STEP_S and all(abs(o - usual) < abs(o - self._offset) for o in near):
            self._offset = usual
        first = self._held.popleft()
        frame = first.frame
        frame.pts = first.samples + round(self._offset * frame.sample_rate)
        frame.time_base = Fraction(1, frame.sample_rate)
        return frame
