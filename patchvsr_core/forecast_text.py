"""A forecast in a few short lines, as they stand on a node."""

from __future__ import annotations

from .forecast import Forecast
from .places import KINDS

MIB = 2**20


def planner_lines(found: Forecast, *, guessed: bool) -> list[str]:
    """For a node that plans patches.

    Args:
        guessed: the number of frames is not certain.
    """
    about = "~" if guessed else ""
    windows = f"{about}{found.windows} {'window' if found.windows == 1 else 'windows'}"
    return [
        f"{size_text(found.target)} · {patches_text(found)} x {windows}",
        f"result {about}{bytes_text(found.result_bytes)} RAM · peak ~{bytes_text(found.working_bytes)} · "
        f"file ~{bytes_text(found.file_bytes)}",
        f"{_at_work(found)} · {_time(found)}",
    ]


def video_lines(found: Forecast) -> list[str]:
    """For a node that makes the whole file piece by piece; pieces and the joined file exist together for a moment."""
    return [
        f"{size_text(found.target)} · {patches_text(found)} x ~{found.windows} windows",
        f"file ~{bytes_text(found.file_bytes)} · disk while running ~{bytes_text(2 * found.file_bytes)}",
        f"{_at_work(found)} · {_time(found)}",
    ]


def size_text(size: tuple[int, int]) -> str:
    """Of (height, width)."""
    return f"{size[1]}x{size[0]}"


def patches_text(found: Forecast) -> str:
    """How many patches there are in a window of time, and of which kinds."""
    total = sum(found.counts.values())
    kinds = ", ".join(f"{found.counts[kind]} {kind}" for kind in KINDS if found.counts[kind])
    return f"{total} {'patch' if total == 1 else 'patches'} ({kinds})"


def bytes_text(count: float) -> str:
    """Two digits are enough."""
    amount, unit = max(count / MIB, 0.1), "MB"
    for larger in ("GB", "TB"):
        if amount >= 1000:
            amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"


def seconds_text(seconds: float) -> str:
    """Such as 40 s, 1 min 20 s, 2 h 5 min."""
    seconds = max(1, round(seconds if seconds < 20 else seconds / 5) * (1 if seconds < 20 else 5))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest and hours < 10 else f"{hours} h"


def _at_work(found: Forecast) -> str:
    sizes = [f"{bytes_text(size)} {name}".strip() for name, size in found.patch_bytes.items()]
    return f"each patch at work ~{' or '.join(sizes)}"


def _time(found: Forecast) -> str:
    if found.seconds is None:
        return "time: known after the first run"
    steps = f"{found.steps} {'step' if found.steps == 1 else 'steps'}"
    return f"time ~{seconds_text(found.seconds)} for {steps} (measured here)"
