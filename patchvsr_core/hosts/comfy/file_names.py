"""Names of output files with the date in them, as the frontend fills them in for core's Save Video."""

from __future__ import annotations

import re
import time

DATE = re.compile("%date:([^%]*)%")
PART = re.compile("dd?|MM?|hh?|mm?|ss?|yyy?y?")
OF_DAY = re.compile("%(hour|minute|second)%")
"""What ComfyUI itself fills in, and what no later run has again."""


def fill_in_date(prefix: str, now: time.struct_time) -> str:
    """Replace ``%date:yyyy-MM-dd%`` and the like, of d, M, h, m, s (twice: two digits), yy and yyyy."""
    return DATE.sub(lambda found: _date(found, now), prefix)


def has_time_of_day(prefix: str) -> bool:
    """Whether a name has the time in it, so that the same node gives another name when it is queued again."""
    in_date = any(part[0] in "hms" for text in DATE.findall(prefix) for part in PART.findall(text.split(".")[0]))
    return in_date or bool(OF_DAY.search(prefix))


def _date(found: re.Match[str], now: time.struct_time) -> str:
    """With one dot it would be a node and its widget; what comes after the first of several is dropped."""
    form, *others = found[1].split(".")
    return found[0] if len(others) == 1 else PART.sub(lambda part: _part(part[0], now), form)


def _part(text: str, now: time.struct_time) -> str:
    if text[0] == "y":
        return {"yy": f"{now.tm_year}"[2:], "yyyy": f"{now.tm_year}"}.get(text, text)
    number = {"d": now.tm_mday, "M": now.tm_mon, "h": now.tm_hour, "m": now.tm_min, "s": now.tm_sec}[text[0]]
    return f"{number}".zfill(len(text))
