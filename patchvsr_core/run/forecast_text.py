"""A forecast in a few short lines, as they stand on a node."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from ..plan.positions import KINDS
from ..settings import RESTORER, UPSCALER
from .forecast import Forecast

MIB = 2**20
FAR_FACTOR = 8
LONG_SECONDS = 3600
"""Beyond these a request is pointed out: few mean it."""
ROUGH_SECONDS = 1800
"""To which a guess is rounded."""
ALONE = {RESTORER: "restored", UPSCALER: "upscaler"}
"""Texts for a base layer that is the whole result; of others, ``fast``."""
Words = Mapping[str, str]
"""Texts of a language by name, with places for what is filled in."""

ENGLISH: Words = {
    "one_patch": "%(count)s patch",
    "patches": "%(count)s patches",
    "one_window": "%(count)s window",
    "windows": "%(count)s windows",
    "one_step": "%(count)s step",
    "steps": "%(count)s steps",
    "primary": "%(count)s primary",
    "auxiliary": "%(count)s auxiliary",
    "corner": "%(count)s corner",
    "plan": "%(size)s · %(patches)s (%(kinds)s) x %(windows)s",
    "memory": "result %(result)s RAM · peak ~%(peak)s · file ~%(file)s",
    "disk": "file ~%(file)s · disk while running ~%(disk)s",
    "at_work": "memory per patch ~%(sizes)s",
    "either": "%(one)s or %(other)s",
    "time": "time ~%(time)s for %(steps)s (measured here)",
    "restored": "%(size)s · restorer alone",
    "restoring_time": "time ~%(time)s (measured here)",
    "fast": "%(size)s · real-time network alone",
    "upscaler": "%(size)s · image upscaler alone",
    "far": "%(factor)s times as large as the clip: more than 8 times invents most of the picture.",
    "long": "This takes about %(time)s.",
    "guessed_long": "This may take %(time)s or more: a guess, as no run was timed here yet.",
    "no_time": "time: known after the first run",
    "show_advanced": "Show advanced inputs",
    "hide_advanced": "Hide advanced inputs",
    "no_clip": "Connect a clip to see the plan.",
    "no_vae": "Connect a VAE to see the plan.",
    "no_picture": "This file has no picture.",
    "not_run": "Queue once to see the plan.",
    "restart": "Start ComfyUI again to see the plan here.",
    "no_answer": "ComfyUI does not answer.",
}
"""All of them; the last six are said where there is nothing to forecast from, the two before on a button."""


def planner_lines(found: Forecast, *, guessed: bool, words: Words = ENGLISH) -> list[str]:
    """For a node that plans patches.

    Args:
        guessed: the number of frames is not certain.
    """
    about = "~" if guessed else ""
    result, peak, file = (bytes_text(size) for size in (found.result_bytes, found.working_bytes, found.file_bytes))
    return [
        _plan(found, about, words),
        words["memory"] % {"result": about + result, "peak": peak, "file": file},
        _work_and_time(found, words),
    ]


def video_lines(found: Forecast, words: Words = ENGLISH, *, fast: bool = False) -> list[str]:
    """For a node that makes the whole file piece by piece; pieces and the joined file exist together for a moment.

    Args:
        fast: by a real-time network, of which nothing but sizes is known.
    """
    file, disk = (bytes_text(size) for size in (found.file_bytes, 2 * found.file_bytes))
    if fast:
        return [words["fast"] % {"size": size_text(found.target)}, words["disk"] % {"file": file, "disk": disk}]
    if found.evaluations == 0:
        return [
            words[ALONE.get(found.base_layer, "fast")] % {"size": size_text(found.target)},
            words["disk"] % {"file": file, "disk": disk},
            _time(found, words),
        ]
    return [
        _plan(found, "~", words),
        words["disk"] % {"file": file, "disk": disk},
        _work_and_time(found, words),
    ]


def warning_line(found: Forecast, words: Words = ENGLISH, *, fast: bool = False) -> str | None:
    """What should be read before queueing: what stops the sampler, far too large a result, more than an hour."""
    if found.warning and not fast:
        return found.warning
    factor = max(new / old for new, old in zip(found.target, found.source, strict=True))
    far = [words["far"] % {"factor": f"{factor:.3g}"}] if factor > FAR_FACTOR else []
    return " ".join([*far, *([] if fast else _long(found, words))]) or None


def _long(found: Forecast, words: Words) -> list[str]:
    """How long a run takes, if that is more than an hour; a guess where nothing was timed."""
    guess = ROUGH_SECONDS * round((found.guess or 0) / ROUGH_SECONDS)
    text, seconds = ("guessed_long", guess) if found.seconds is None else ("long", found.seconds)
    return [words[text] % {"time": seconds_text(seconds)}] if seconds > LONG_SECONDS else []


def size_text(size: tuple[int, int]) -> str:
    """Of (height, width)."""
    return f"{size[1]}x{size[0]}"


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


def _plan(found: Forecast, about: str, words: Words) -> str:
    """How many patches there are in a temporal window, of which kinds, and how many windows."""
    kinds = [words[kind] % {"count": found.counts[kind]} for kind in KINDS if found.counts[kind]]
    return words["plan"] % {
        "size": size_text(found.target),
        "patches": _counted(words, "patch", "patches", sum(found.counts.values())),
        "kinds": ", ".join(kinds),
        "windows": _counted(words, "window", "windows", found.windows, about),
    }


def _counted(words: Words, one: str, many: str, count: int, about: str = "") -> str:
    return words[f"one_{one}" if count == 1 else many] % {"count": f"{about}{count}"}


def _work_and_time(found: Forecast, words: Words) -> str:
    """Without the memory of a patch where the family's table has none."""
    parts = [_at_work(found, words)] if found.patch_bytes else []
    return " · ".join([*parts, _time(found, words)])


def _at_work(found: Forecast, words: Words) -> str:
    sizes = [f"{bytes_text(size)} {name}".strip() for name, size in found.patch_bytes.items()]
    return words["at_work"] % {
        "sizes": reduce(lambda one, other: words["either"] % {"one": one, "other": other}, sizes)
    }


def _time(found: Forecast, words: Words) -> str:
    if found.seconds is None:
        return words["no_time"]
    if found.evaluations == 0:
        return words["restoring_time"] % {"time": seconds_text(found.seconds)}
    steps = _counted(words, "step", "steps", found.steps)
    return words["time"] % {"time": seconds_text(found.seconds), "steps": steps}
