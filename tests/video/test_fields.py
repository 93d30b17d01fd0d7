"""Interlaced and telecined video becomes progressive, with its timing; what is progressive stays as it is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np
import pytest
from faulty import bars, encode, times_of

from patchvsr_core.__main__ import main
from patchvsr_core.video.decode import iter_frames
from patchvsr_core.video.info import probe, with_fields
from patchvsr_core.video.timeline import scan

SIZE = (96, 128)
FRAMES = 30
NTSC = Fraction(30000, 1001)


def weave(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    woven = top.copy()
    woven[1::2] = bottom[1::2]
    return woven


def interlaced(path: Path, order: str, flag: str, sound: str = "") -> Path:
    moments = [bars(k, *SIZE) for k in range(2 * FRAMES)]
    pairs = zip(moments[::2], moments[1::2], strict=True)
    frames = [weave(a, b) if order == "tff" else weave(b, a) for a, b in pairs]
    return encode(path, frames, interlaced=flag, sound=sound, options={"crf": "4"})


def telecined(path: Path, flag: str, films: int = 48, grain: int = 0) -> Path:
    rng = np.random.default_rng(0)
    film, frames = [bars(3 * k, *SIZE) for k in range(films)], []
    for k in range(0, films, 4):
        a, b, c, d = film[k : k + 4]
        frames += [a, b, weave(b, c), weave(c, d), d]
    if grain:
        noisy = (110 + frame / 8 + rng.normal(0, grain, frame.shape) for frame in frames)
        frames = [frame.clip(0, 255).astype(np.uint8) for frame in noisy]
    return encode(path, frames, rate=NTSC, interlaced=flag, options={"crf": "4"})


def combs(frame: av.VideoFrame) -> float:
    """How much rows differ from their neighbours beyond what those differ from each other."""
    gray = frame.to_ndarray(format="gray").astype(float)
    return float(np.abs(gray[1:-1] * 2 - gray[:-2] - gray[2:]).mean())


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("is_flagged", [True, False])
def test_interlaced_video_is_found_whatever_its_flags_say_and_has_no_combs_left(
    tmp_path: Path, order: str, is_flagged: bool
) -> None:
    path = interlaced(tmp_path / "in.mp4", order, order if is_flagged else "")
    info = with_fields(probe(path))
    assert (info.fields.mode, info.fields.parity, info.fps) == ("frame", order, 25)
    timeline = scan(info)
    assert "in.mp4 is interlaced" in timeline.notices[0] and len(timeline.timestamps) == FRAMES
    before = [combs(frame) for frame in iter_frames(path)]
    after = [combs(frame) for frame in iter_frames(path, fields=info.fields)]
    assert np.median(after) < np.median(before) / 4


def test_each_field_becomes_a_frame_at_the_double_rate(tmp_path: Path) -> None:
    path = interlaced(tmp_path / "in.mp4", "tff", "tff")
    info = with_fields(probe(path), "field")
    timeline = scan(info)
    assert info.fps == 50 and info.frames == len(timeline.timestamps) == 2 * FRAMES
    seconds = [float(time * timeline.time_base) for time in timeline.timestamps]
    assert seconds == pytest.approx([k / 50 for k in range(2 * FRAMES)], abs=1e-3)
    assert float(timeline.last_duration * timeline.time_base) == pytest.approx(1 / 50, abs=1e-3)


@pytest.mark.parametrize("flag", ["tff", ""])
def test_the_film_frames_of_telecined_video_are_restored(tmp_path: Path, flag: str) -> None:
    path = telecined(tmp_path / "in.mp4", flag)
    info = with_fields(probe(path))
    assert info.fields.mode == "film" and info.fps == NTSC * 4 / 5
    timeline = scan(info)
    seconds = [float(time * timeline.time_base) for time in timeline.timestamps]
    assert seconds == pytest.approx([k * 1001 / 24000 for k in range(48)], abs=1e-3)
    shown = [frame.to_ndarray(format="gray").astype(float) for frame in iter_frames(path, fields=info.fields)]
    film = [bars(3 * k, *SIZE)[..., 0].astype(float) for k in range(48)]
    errors = [min(np.abs(frame / 255 - (0.0627 + other / 255 * 0.8588)).mean() for other in film) for frame in shown]
    assert len(shown) == 48 and np.median(errors) < 0.08


def test_telecined_video_is_found_in_grain_and_coding_noise(tmp_path: Path) -> None:
    """A field that is shown again differs from itself there, but the rhythm of five frames is the same."""
    assert with_fields(probe(telecined(tmp_path / "in.mp4", "tff", grain=7))).fields.mode == "film"


def test_progressive_video_stays_as_it_is_even_if_it_is_flagged(tmp_path: Path) -> None:
    moving = [bars(k, *SIZE) for k in range(FRAMES)]
    noise = list(np.random.default_rng(0).integers(0, 255, (FRAMES, *SIZE, 3), dtype=np.uint8))
    for frames, flag in ((moving, ""), (moving, "tff"), (noise, ""), ([moving[0]] * FRAMES, "")):
        path = encode(tmp_path / "in.mp4", frames, interlaced=flag)
        assert with_fields(probe(path)) == probe(path)


@pytest.mark.parametrize("size", [(64, 96), (288, 352)])
def test_fine_patterns_that_move_are_no_fields(tmp_path: Path, size: tuple[int, int]) -> None:
    """FFmpeg's test pattern, which its own ``idet`` takes for interlaced."""
    graph = av.filter.Graph()
    source, sink = graph.add("testsrc2", f"size={size[1]}x{size[0]}:rate=25"), graph.add("buffersink")
    graph.link_nodes(source, sink).configure()
    frames = [graph.pull().to_ndarray(format="rgb24") for _ in range(FRAMES)]
    path = encode(tmp_path / "in.mp4", frames)
    assert with_fields(probe(path)) == probe(path)


def test_the_result_is_progressive_and_in_step_with_the_sound_and_plan_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = interlaced(tmp_path / "in.mkv", "tff", "tff", sound="aac")
    assert main(["plan", str(path), "--fast", "dap", "--scale", "1"]) == 0
    assert "in.mkv is interlaced (top field first)" in capsys.readouterr().out
    for choice, count in (("auto", FRAMES), ("field", 2 * FRAMES), ("keep", FRAMES)):
        out = tmp_path / f"{choice}.mkv"
        assert main(["upscale", str(path), str(out), "--fast", "dap", "--scale", "1", "--fields", choice]) == 0
        assert ("is interlaced" in capsys.readouterr().err) == (choice != "keep")
        shown = times_of(out)
        assert len(shown) == count and np.diff(shown) == pytest.approx(FRAMES / 25 / count, abs=2e-3)
        offset = times_of(path)[0] - times_of(path, "audio")[0]
        assert shown[0] - times_of(out, "audio")[0] == pytest.approx(offset, abs=0.01)
        with av.open(str(out)) as made:
            assert not any(frame.interlaced_frame for frame in made.decode(video=0))
