"""Interlaced and telecined video: found by what frames look like and how they are flagged, made progressive by FFmpeg.

The measure is that of FFmpeg's ``idet``: in a moving picture a frame's rows fit those of the previous frame's other
field better or worse than those of the next one's, depending on which field is first; in a progressive one they fit
neither. Telecined film repeats a field of two in five frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph

from ..errors import phrase
from .swscale import convert

AUTO, KEEP, FRAME, FIELD, FILM = "auto", "keep", "frame", "field", "film"
CHOICES = (AUTO, KEEP, FRAME, FIELD)
"""What a user can choose; film is for telecined video, which ``auto`` finds."""
LOOKED_AT = 60
"""Frames of each part of a file that are looked at."""
INTERLACED, PROGRESSIVE = 1.04, 1.5
"""Thresholds of ``idet``; here what is clearly progressive is so before it is anything else."""
REPEATED = 1.5
"""Half of ``idet``'s: in a compressed film a field that is shown again differs by its coding; the rhythm decides."""
SMALL, INTERLACED_SMALL = 240, 1.4
"""Below this height few videos have fields, and fine patterns look like them: unless flagged, they must be clear."""
MOVES = 0.3
"""Mean difference of two frames, in levels of 255, from which on something moves."""
FILM_RATES = (Fraction(28), Fraction(31))
CYCLE = 5
ORDINAL_RATE = 100
"""Frames are counted in such units within a filter, whatever their times are."""


@dataclass(frozen=True)
class Fields:
    """What is done about interlacing."""

    mode: str = KEEP
    """KEEP, FRAME (a frame for each), FIELD (a frame for each field), or FILM (the frames before telecine)."""
    parity: str = "auto"
    """Which field is first: "tff", "bff", or as frames are flagged."""
    is_found: bool = False
    """Whether the video was found to be interlaced, rather than chosen to be treated so."""
    only_flagged: bool = False
    """Leave frames as they are that are not flagged."""

    @property
    def rate(self) -> Fraction:
        """Frames of the result for each of the input."""
        return {FIELD: Fraction(2), FILM: Fraction(4, 5)}.get(self.mode, Fraction(1))

    @property
    def division(self) -> int:
        """What the time base is divided by, so that every frame has a time."""
        return {FIELD: 2, FILM: 4}.get(self.mode, 1)

    @property
    def filters(self) -> tuple[tuple[str, str], ...]:
        """FFmpeg's filters, with their options."""
        deint = "interlaced" if self.only_flagged else "all"
        if self.mode == FILM:
            match = ("fieldmatch", f"order={self.parity}:combmatch=full")
            rest = ("bwdif", "mode=send_frame:deint=interlaced")
            return match, rest, ("fps", f"fps={ORDINAL_RATE}"), ("decimate", f"cycle={CYCLE}")
        if self.mode in (FRAME, FIELD):
            return (("bwdif", f"mode=send_{self.mode}:parity={self.parity}:deint={deint}"),)
        return ()

    def sentence(self, name: str) -> str:
        """What was found, and what is done."""
        if self.mode == FILM:
            return phrase(f"{name} is telecined; its film frames are restored, four of five (fieldmatch, decimate).")
        order = {"tff": phrase(" (top field first)"), "bff": phrase(" (bottom field first)")}.get(self.parity, "")
        if self.mode == FIELD:
            return phrase(f"{name} is interlaced{order}; each field becomes a progressive frame (bwdif).")
        return phrase(f"{name} is interlaced{order}; each frame is made progressive (bwdif).")


def choose(choice: str, found: Fields) -> Fields:
    """What a user's choice means for what was found."""
    if choice == AUTO:
        return found
    if choice == KEEP:
        return Fields()
    return Fields(choice, found.parity, found.is_found, found.only_flagged and found.is_found)


def find_fields(parts: Iterable[Iterable[av.VideoFrame]], fps: Fraction) -> Fields:
    """Look at parts of a video.

    Args:
        parts: successive frames of each.
    """
    counts = _Counts()
    for part in parts:
        counts.look(part)
    if FILM_RATES[0] <= fps <= FILM_RATES[1] and counts.is_telecined:
        return Fields(FILM, counts.parity, is_found=True)
    share = counts.flagged / max(1, counts.frames)
    looks = counts.first_top + counts.first_bottom
    is_clear = min(counts.first_top, counts.first_bottom) * 4 <= looks and looks > counts.progressive
    if is_clear and looks >= (8 if share < 0.05 else 2):
        return Fields(FRAME, counts.parity, is_found=True, only_flagged=0.05 < share < 0.95)
    is_refuted = counts.progressive >= 8 and counts.progressive > 4 * looks
    if share > 0.5 and not is_refuted:
        return Fields(FRAME, is_found=True, only_flagged=share < 0.95)
    return Fields()


class _Counts:
    """Frames of each kind."""

    def __init__(self) -> None:
        self.frames = self.flagged = 0
        self.first_top = self.first_bottom = self.progressive = 0
        self.moving = 0
        self.repeats: list[tuple[int, int]] = []
        """(part * large + number of a frame in it, which field it repeats)."""

    @property
    def parity(self) -> str:
        return "tff" if self.first_top >= self.first_bottom else "bff"

    @property
    def is_telecined(self) -> bool:
        """Whether fields repeat at the same two places of five frames, each the same field."""
        places = [(number % CYCLE, field) for number, field in self.repeats]
        usual = sorted((places.count(place) for place in set(places)), reverse=True)[:2]
        is_regular = len(usual) == 2 and sum(usual) >= 0.8 * len(places) and min(usual) >= 2
        return (
            is_regular and 0.25 <= len(places) / max(1, self.moving) <= 0.6 and self.first_top + self.first_bottom > 0
        )

    def look(self, frames: Iterable[av.VideoFrame]) -> None:
        shown: list[np.ndarray] = []
        start = CYCLE * 1000 * self.frames  # parts do not lie in one cycle, but each place counts alike
        for number, frame in enumerate(frames):
            self.frames += 1
            self.flagged += frame.interlaced_frame
            least = INTERLACED_SMALL if frame.height < SMALL and not frame.interlaced_frame else INTERLACED
            shown = [*shown[-2:], convert(frame, format="gray").to_ndarray()[:, ::2].astype(np.int16)]
            if len(shown) == 3 and shown[0].shape == shown[2].shape and len(shown[0]) >= 16:
                self._compare(shown[0], shown[1], shown[2], start + number, least)

    def _compare(self, before: np.ndarray, frame: np.ndarray, after: np.ndarray, number: int, least: float) -> None:
        if np.abs(frame - before).mean() < MOVES and np.abs(after - frame).mean() < MOVES:
            return
        self.moving += 1
        around = frame[:-2] + frame[2:]
        past, future, own = (
            np.abs(around - 2 * other[1:-1]).sum(1, dtype=np.int64) for other in (before, after, frame)
        )
        moved = np.abs(frame - before)[1:-1].sum(1, dtype=np.int64)
        odd, even = slice(0, None, 2), slice(1, None, 2)  # the first row here is row 1
        top = past[even].sum() + future[odd].sum()
        bottom = past[odd].sum() + future[even].sum()
        repeat = moved[odd].sum(), moved[even].sum()
        if min(top, bottom) > PROGRESSIVE * own.sum():
            self.progressive += 1
        elif top > least * bottom:
            self.first_top += 1
        elif bottom > least * top:
            self.first_bottom += 1
        for field in (0, 1):
            if repeat[field] > REPEATED * repeat[1 - field]:
                self.repeats.append((number, field))


def apply_fields(fields: Fields, frames: Iterable[av.VideoFrame]) -> Iterator[tuple[av.VideoFrame, Fraction]]:
    """Make frames progressive.

    Returns:
        each frame, with the number of the input frame that it is shown with; a fraction lies between two.
    """
    graph: Graph | None = None
    base = Fraction(1, ORDINAL_RATE)
    for number, frame in enumerate(frames):
        if graph is None:
            graph = _graph(fields, frame, base)
        frame.pts, frame.time_base, frame.duration = number, base, 1
        graph.push(frame)
        yield from _pulled(graph)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph)


def _graph(fields: Fields, frame: av.VideoFrame, base: Fraction) -> Graph:
    graph = Graph()
    nodes = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=base)]
    nodes += [graph.add(name, options) for name, options in fields.filters]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph


def _pulled(graph: Graph) -> Iterator[tuple[av.VideoFrame, Fraction]]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, av.VideoFrame) and frame.pts is not None and frame.time_base is not None
        yield frame, frame.pts * frame.time_base * ORDINAL_RATE
