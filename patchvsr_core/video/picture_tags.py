"""Tags of a film and its picture that a result keeps: dates, timecode, title and language."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av

from .local_files import open_input

log = logging.getLogger("patchvsr")
KEPT_OF_PICTURE = {"title", "language", "handler_name", "creation_time", "comment", "reel_name"}
"""Others, such as statistics and encoders, are those of the input's coding."""
OF_CAMERAS = ("com.apple.", "com.android.", "com.panasonic.", "com.sony.", "com.canon.", "com.dji.")
"""Beginnings of names by which cameras store place, date and make; MP4 and MOV keep them only if told to."""
TIMECODE = re.compile(r"\d{2}:\d{2}:\d{2}([:;.])(\d{2,3})")
QUICKTIME_NAMES = {"deu": "ger", "nld": "dut", "swe": "sve", "fre": "fra"}
"""Of languages whose usual code libav does not find in QuickTime's list."""
WRITES_RATES = int(av.__version__.partition(".")[0]) >= 18
"""Whether PyAV states the frame rate of a copied stream, which MP4 and MOV count timecodes with."""
DROP_RATES = (Fraction(30000, 1001), Fraction(60000, 1001))


def keep_picture_tags(
    source: av.container.InputContainer,
    picture: av.VideoStream,
    target: av.container.OutputContainer,
    origin: Fraction = Fraction(0),
) -> None:
    """Copy the tags of the picture ``picture`` of ``source`` to the video stream of ``target``, timecode included.

    MP4 and MOV make a timecode track of it, where there is one in ``source`` or a tag of that name.

    Args:
        origin: time in ``source``, in seconds, at which ``target`` begins.
    """
    video = target.streams.video[0]
    kept = {name: value for name, value in picture.metadata.items() if name.lower() in KEPT_OF_PICTURE}
    video.metadata.update(for_container(kept, target))
    for name in [name for name in target.metadata if name.lower() == "timecode"]:
        del target.metadata[name]
    rate = video.average_rate or picture.average_rate or picture.guessed_rate
    timecode = _timecode(source, picture)
    if not timecode or rate is None or not is_valid(timecode, rate):
        return
    if not WRITES_RATES and target.format.name in ("mp4", "mov"):
        log.warning(
            "The timecode %s is lost, as PyAV before 18 cannot write it; install it, or write to .mkv.", timecode
        )
        return
    start = max(Fraction(0), Fraction(source.start_time or 0, av.time_base))
    video.metadata["timecode"] = later(timecode, max(0, round((origin - start) * rate)), rate)


def for_container(tags: dict[str, str], target: av.container.OutputContainer) -> dict[str, str]:
    """Tags of a stream as a container stores them: MOV has a list of languages of its own."""
    if target.format.name != "mov" or "language" not in tags:
        return tags
    return {**tags, "language": QUICKTIME_NAMES.get(tags["language"], tags["language"])}


def is_valid(timecode: str, rate: Fraction) -> bool:
    """Whether libav takes a timecode at a frame rate (av_timecode_init_from_string)."""
    found = TIMECODE.fullmatch(timecode)
    if found is None or int(found[2]) >= round(rate):
        return False
    return found[1] == ":" or rate in DROP_RATES


def later(timecode: str, frames: int, rate: Fraction) -> str:
    """The timecode so many frames after a valid one (SMPTE ST 12-1, drop frames included)."""
    *fields, last = re.split("[:;.]", timecode)
    hours, minutes, seconds = map(int, fields)
    each, drops = round(rate), 0 if timecode[8] == ":" else round(rate / 15)
    whole = 60 * hours + minutes
    number = (60 * whole + seconds) * each + int(last) - drops * (whole - whole // 10) + frames
    of_minute, of_ten = 60 * each - drops, 600 * each - 9 * drops
    tens, rest = divmod(number, of_ten)
    number += drops * (9 * tens + max(0, (rest - drops) // of_minute))
    whole, rest = divmod(number, 60 * each)
    return f"{whole // 60 % 24:02d}:{whole % 60:02d}:{rest // each:02d}{timecode[8]}{rest % each:0{len(last)}d}"


def has_camera_tags(path: Path) -> bool:
    """Whether a file has tags that MP4 and MOV keep only with the option ``use_metadata_tags``."""
    with open_input(path) as source:
        return any(name.lower().startswith(OF_CAMERAS) for name in source.metadata)


def _timecode(source: av.container.InputContainer, picture: av.VideoStream) -> str | None:
    """That of the picture, of a timecode track or of the file, in this order."""
    everywhere: list[Mapping[str, str]] = [picture.metadata]
    everywhere += [stream.metadata for stream in source.streams if stream.type == "data"]
    everywhere.append(source.metadata)
    found = (value for tags in everywhere for name, value in tags.items() if name.lower() == "timecode")
    return next(found, None)
