"""Parts of clips: which frames they hold, wherever a file has to be read from for them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import colors
from faulty import RATE, bars, encode, overwrite, remux

from patchvsr_core.errors import MediaError, PlanError
from patchvsr_core.plan.chunks import Chunk
from patchvsr_core.run.chunk_frames import ChunkFrames
from patchvsr_core.video import VideoWriter, probe, scan
from patchvsr_core.video.decode import Record, iter_frames
from patchvsr_core.video.info import VideoInfo, with_fields, with_section
from patchvsr_core.video.picture_tags import later
from patchvsr_core.video.section import Section, parse_time
from patchvsr_core.video.sequence import write_image

FRAMES = 60
RANDOM = np.random.default_rng(0)
MOVING = [bars(number) for number in range(FRAMES)]


def gop(frames: int) -> dict[str, str]:
    return {"g": str(frames), "keyint_min": str(frames), "sc_threshold": "0"}


OPEN = {**gop(12), "x264-params": "open-gop=1"}


FILES: dict[str, Callable[[Path], Path]] = {
    "mp4": lambda folder: encode(folder / "a.mp4", MOVING, options=gop(12), sound="aac"),
    "mp4 of one group": lambda folder: encode(folder / "a.mp4", MOVING, options=gop(250)),
    "mp4 of open groups": lambda folder: encode(folder / "a.mp4", MOVING, options=OPEN),
    "mkv": lambda folder: encode(folder / "a.mkv", MOVING, options=gop(12), sound="aac"),
    "mkv of a rate that milliseconds cannot tell": lambda folder: encode(
        folder / "a.mkv", MOVING, options=gop(12), rate=Fraction(24000, 1001)
    ),
    "avi": lambda folder: encode(folder / "a.avi", MOVING, codec="mpeg4", options={"g": "12", "bf": "0"}),
    "ts": lambda folder: encode(folder / "a.ts", MOVING, options=gop(12), sound="aac", start_s=5),
    "variable": lambda folder: encode(
        folder / "a.mkv", MOVING, options=gop(12), times=[n + n // 7 for n in range(FRAMES)]
    ),
    "bare": lambda folder: encode(folder / "a.h264", MOVING, options=gop(12)),
}


def pixels(info: VideoInfo) -> list[np.ndarray]:
    return [frame.to_ndarray(format="gray") for frame in iter_frames(info.path, section=info.section)]


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(("begin", "end"), [(0, 7), (7, 8), (13, 40), (24, 36), (47, 60), (59, None), (None, 5)])
def test_a_part_has_the_frames_of_the_whole(tmp_path: Path, kind: str, begin: int | None, end: int | None) -> None:
    info = probe(FILES[kind](tmp_path))
    whole = scan(info)
    times = [time * whole.time_base - info.origin for time in whole.timestamps] + [None]
    limits = [None if number is None else times[number] for number in (begin, end)]
    part = with_section(info, *(None if time is None else str(float(time)) for time in limits))
    chosen = slice(begin, end)
    for found, expected in zip(pixels(part), pixels(info)[chosen], strict=True):
        assert np.array_equal(found, expected)
    timeline = scan(part)
    starts = 0 if kind == "bare" else whole.timestamps[chosen][0]  # a bare stream has no times
    expected_times = np.array(whole.timestamps[chosen]) - whole.timestamps[chosen][0] + starts
    assert np.array_equal(timeline.timestamps, expected_times) and not timeline.notices
    assert timeline.last_duration in (0, *np.diff(whole.timestamps)[[(end or FRAMES) - 2]], whole.last_duration)
    read = ChunkFrames(part, timeline).take(Chunk(0, len(timeline.timestamps), 0))
    assert len(read) == len(timeline.timestamps)


@pytest.mark.parametrize("kind", FILES)
def test_parts_that_meet_are_the_whole(tmp_path: Path, kind: str) -> None:
    info = probe(FILES[kind](tmp_path))
    places = [None, "0.31", "0.97", "1.5", None]
    parts = [pixels(with_section(info, *ends)) for ends in itertools.pairwise(places)]
    assert np.array_equal(np.concatenate(parts), pixels(info))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_part_is_not_read_from_the_start(tmp_path: Path, suffix: str) -> None:
    info = with_section(probe(encode(tmp_path / f"a.{suffix}", MOVING, options=gop(12))), "40f", "42f")
    record = Record()
    assert len(list(iter_frames(info.path, section=info.section, record=record))) == 2
    assert len(record.packets.pts) < 24


def test_a_part_of_a_sequence(tmp_path: Path) -> None:
    for number, frame in enumerate(colors(9, 8, 12)):
        if number != 3:
            write_image(tmp_path / f"f_{number + 20:04d}.png", frame, 8, Fraction(1))
    info = with_section(probe(tmp_path), "4f", "6f")
    timeline = scan(info)
    assert (info.frames, timeline.timestamps, timeline.notices) == (2, (4, 5), ())
    assert np.array_equal(pixels(info), pixels(probe(tmp_path))[4:6])
    assert "are missing" in scan(with_section(probe(tmp_path), "1f", "6f"), strict=False).notices[0]


def test_fields_of_a_part(tmp_path: Path) -> None:
    source = encode(tmp_path / "a.mp4", MOVING, options=gop(12), interlaced="tff")
    info = with_section(with_fields(probe(source), "field"), "20f", "40f")
    assert (info.frames, len(scan(info).timestamps)) == (20, 20), "frames of the result are counted"


def test_what_is_damaged_elsewhere_is_not_told(tmp_path: Path) -> None:
    info = probe(overwrite(encode(tmp_path / "a.mkv", MOVING, options=gop(12)), 0.65, 0.75))
    assert scan(info, strict=False).notices
    assert not scan(with_section(info, None, "0.4"), strict=False).notices
    lost = probe(remux(encode(tmp_path / "b.mp4", MOVING, options=gop(12)), tmp_path / "c.mp4", lambda p: p.pts != 0))
    assert scan(lost, strict=False).notices and not scan(with_section(lost, "1.4", None), strict=False).notices


def test_shots_of_a_part(tmp_path: Path) -> None:
    small = RANDOM.random((3, 8, 12, 3)) * 120
    looks = [(cv2.resize(place, (96, 64)) * light).astype(np.uint8) for light, place in enumerate(small, 1)]
    shots = [np.roll(looks[number // 20], number % 20, 1) for number in range(FRAMES)]
    info = probe(encode(tmp_path / "a.mp4", shots, options=gop(12)))
    assert (scan(info).cuts, scan(with_section(info, "10f", "50f")).cuts) == ((20, 40), (10, 30))


def test_how_many_frames_a_part_has_is_known_before(tmp_path: Path) -> None:
    info = probe(encode(tmp_path / "a.mkv", MOVING, rate=Fraction(30000, 1001)))
    for begin, end in itertools.combinations((*range(0, FRAMES, 7), FRAMES), 2):
        part = with_section(info, f"{begin}f", f"{end}f")
        assert part.frames == len(pixels(part)) == end - begin
    unknown = Section(Fraction(1), Fraction(2)).numbers(0, Fraction(25), Fraction(1, 25), Fraction(0))
    assert unknown == range(25, 50)


TIMES = {"12.5": 12.5, ".5": 0.5, "1:02.5": 62.5, "1:00:00": 3600, "90": 90, "0:90": 90, "50f": 2, "0": 0}


@pytest.mark.parametrize(("text", "seconds"), TIMES.items())
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text, Fraction(RATE)) == Fraction(seconds)


@pytest.mark.parametrize("text", ["", "x", "-1", "1:2:3:4", "1f5", "1,5", "1e3", "."])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(PlanError, match="is not a time"):
        parse_time(text, Fraction(RATE))


def test_parts_that_hold_nothing(tmp_path: Path) -> None:
    info = probe(encode(tmp_path / "a.mp4", MOVING))
    for begin, end, said in [("3", None, r"is 2\.40 s long"), ("1", "1", "ends before it begins"), ("2", "1", "ends")]:
        with pytest.raises(PlanError, match=said):
            with_section(info, begin, end)
    with VideoWriter(tmp_path / "b.mkv", (24, 32), [0, 100], Fraction(1, 25), fps=Fraction(25)) as writer:
        writer.write(colors(2, 24, 32))
    with pytest.raises(MediaError, match="no frames in the part"):
        scan(with_section(probe(tmp_path / "b.mkv"), "1", "2"))


@pytest.mark.parametrize(
    ("timecode", "frames", "rate", "expected"),
    [
        ("01:00:00:00", 37, Fraction(24), "01:00:01:13"),
        ("23:59:59:24", 1, Fraction(25), "00:00:00:00"),
        ("00:00:59;29", 1, Fraction(30000, 1001), "00:01:00;02"),
        ("00:09:59;29", 1, Fraction(30000, 1001), "00:10:00;00"),
        ("00:00:00;00", 107892, Fraction(30000, 1001), "01:00:00;00"),
        ("00:00:59;59", 1, Fraction(60000, 1001), "00:01:00;04"),
        ("10:11:12:05", 0, Fraction(24000, 1001), "10:11:12:05"),
    ],
)
def test_a_later_timecode(timecode: str, frames: int, rate: Fraction, expected: str) -> None:
    assert later(timecode, frames, rate) == expected
