"""Files that are damaged midway or start within a group of pictures: what can be read is kept, with a sentence."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest
from faulty import bars, encode, overwrite, remux, times_of

from patchvsr_core.__main__ import main
from patchvsr_core.errors import MediaError
from patchvsr_core.video.timeline import scan

FRAMES = 60
SHORT_GROUPS = {"g": "12", "x264-params": "keyint=12:scenecut=0:mbtree=0"}


def seconds(path: Path) -> list[float]:
    timeline = scan(path, strict=False)
    return [round(float(time * timeline.time_base), 2) for time in timeline.timestamps]


def missing(notice: str) -> int:
    return int(re.search(r"(\d+) of \d+ frames are missing", notice)[1])  # type: ignore[index]


@pytest.mark.parametrize("seed", [0, 2, 10])
@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mkv", "libx264"), (".ts", "libx264"), (".mp4", "libx264"), (".ts", "mpeg2video")]
)
def test_frames_that_random_bytes_replace_are_counted_and_the_rest_keeps_its_timing(
    tmp_path: Path, suffix: str, codec: str, seed: int
) -> None:
    options = SHORT_GROUPS if codec == "libx264" else {"g": "12"}
    path = encode(tmp_path / f"in{suffix}", [bars(k) for k in range(FRAMES)], codec=codec, options=options)
    whole = seconds(path)
    assert len(whole) == FRAMES and scan(path).notices == ()
    overwrite(path, *((0.3, 0.4) if suffix == ".mp4" else (0.45, 0.6)), seed=seed)  # the index of .mp4 is at its end
    timeline = scan(path, strict=False)
    kept = seconds(path)
    assert len(kept) < FRAMES or "errors" in timeline.notices[0]
    assert set(kept) <= set(whole), "the others stay where they were"
    (notice,) = timeline.notices
    if len(kept) < FRAMES:
        assert missing(notice) == pytest.approx(FRAMES - len(kept), abs=1)
    with pytest.raises(MediaError, match=r"is truncated or damaged: .*; repair or export it again\.$"):
        scan(path)


def test_sound_stays_in_step_with_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = encode(tmp_path / "in.ts", [bars(k) for k in range(FRAMES)], options=SHORT_GROUPS, sound="mp2")
    whole, sound = times_of(path), times_of(path, "audio")
    overwrite(path, 0.4, 0.5)
    out = tmp_path / "out.mkv"
    assert main(["upscale", str(path), str(out), "--fast", "dap", "--scale", "1"]) == 0
    assert "in.ts is truncated or damaged" in capsys.readouterr().err
    made = times_of(out)
    assert 20 < len(made) <= FRAMES
    begin = min(whole[0], sound[0])
    assert all(min(abs(time - (other - begin)) for other in whole) < 0.01 for time in made)
    assert times_of(out, "audio")[-1] == pytest.approx(sound[-1] - begin, abs=0.01)


def test_strict_refuses_a_damaged_file_before_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = encode(tmp_path / "in.mkv", [bars(k) for k in range(FRAMES)], options=SHORT_GROUPS)
    overwrite(path, 0.45, 0.6)
    arguments = ["upscale", str(path), str(tmp_path / "out.mkv"), "--fast", "dap", "--scale", "1"]
    assert main([*arguments, "--strict"]) == 2
    assert "is truncated or damaged" in capsys.readouterr().err and not (tmp_path / "out.mkv").exists()


def test_a_recording_that_starts_within_a_group_of_pictures_begins_with_what_decodes(tmp_path: Path) -> None:
    source = encode(tmp_path / "in.mkv", [bars(k) for k in range(40)], options={"x264-params": "keyint=12:scenecut=0"})
    path = remux(source, tmp_path / "cut.mkv", lambda packet: packet.pts * packet.time_base > Fraction(1, 5))
    timeline = scan(path, strict=False)
    assert 0 < len(timeline.timestamps) < 34
    assert re.search(r"\d+ of \d+ frames are missing \(\d+ at the start\)", timeline.notices[0])
    with pytest.raises(MediaError, match="at the start"):
        scan(path)


@pytest.mark.parametrize("name", ["in.mkv", "in.mp4", "in.ts", "in.webm"])
@pytest.mark.parametrize("sound", [True, False])
def test_real_gaps_are_no_damage(tmp_path: Path, name: str, sound: bool) -> None:
    """Held frames, at the end too, and slides of minutes."""
    codec, tone = ("libvpx-vp9", "libopus") if name.endswith("webm") else ("libx264", "aac")
    for times in ([*range(30), 200, 201, 202, *range(205, 215), 260], [k * 1600 for k in range(6)]):
        frames = [bars(k) for k in range(len(times))]
        path = encode(tmp_path / name, frames, codec=codec, sound=tone * sound, times=times)
        timeline = scan(path)
        assert timeline.notices == ()
        shown = [float((time - timeline.timestamps[0]) * timeline.time_base) for time in timeline.timestamps]
        assert shown == pytest.approx([time / 25 for time in times], abs=2e-3)
