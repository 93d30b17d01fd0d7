"""Clocks that jump, run back or count only when frames are decoded; and how long the last frame is shown."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from faulty import RATE, bars, encode, remux, times_of
from jobs import run

from patchvsr_core.__main__ import main
from patchvsr_core.run.job import Job
from patchvsr_core.settings import TINY
from patchvsr_core.video import probe
from patchvsr_core.video.chunk_files import Encoding
from patchvsr_core.video.clock import in_order
from patchvsr_core.video.decode import ABSENT
from patchvsr_core.video.remux import join
from patchvsr_core.video.timeline import scan

STEP = 1 / RATE


def upscale(source: Path, out: Path) -> Path:
    info = probe(source)
    run(Job(info, out, (info.height, info.width), TINY, 50, 0, Encoding(alpha=False)))
    return out


def part(path: Path, start_s: float, frames: int = 20, sound: str = "mp2") -> bytes:
    return encode(path, [bars(k) for k in range(frames)], start_s=start_s, sound=sound).read_bytes()


@pytest.mark.parametrize("sound", ["mp2", ""])
@pytest.mark.parametrize("start_s", [3600.0, 0.0, 0.4, 0.76], ids=["ahead", "again", "overlapping", "by a frame"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_recordings_in_one_file_follow_one_another_and_sound_stays_with_its_pictures(
    tmp_path: Path, start_s: float, suffix: str, sound: str
) -> None:
    first, second = part(tmp_path / "a.ts", 0.0, sound=sound), part(tmp_path / "b.ts", start_s, sound=sound)
    (tmp_path / "in.ts").write_bytes(first + second)
    out = upscale(tmp_path / "in.ts", tmp_path / f"out{suffix}")
    assert scan(tmp_path / "in.ts").notices[0].startswith("in.ts holds 2 recordings")
    shown = times_of(out)
    assert np.diff(shown) == pytest.approx(STEP, abs=2e-3) and len(shown) == 40
    if sound:
        heard, own = times_of(out, "audio"), times_of(tmp_path / "b.ts", "audio")
        offset = times_of(tmp_path / "b.ts")[-1] - own[-1]
        assert shown[-1] - heard[-1] == pytest.approx(offset, abs=0.01)


@pytest.mark.parametrize("start_s", [15.0, 120.0, 599.0])
def test_silent_recordings_are_told_from_slides_by_their_packets(tmp_path: Path, start_s: float) -> None:
    """Packets of a recording are counted; those of the next one are counted anew."""
    first = part(tmp_path / "a.ts", 0.0, frames=17, sound="")
    (tmp_path / "in.ts").write_bytes(first + part(tmp_path / "b.ts", start_s, sound=""))
    timeline = scan(tmp_path / "in.ts")
    assert timeline.notices[0].startswith("in.ts holds 2 recordings")
    shown = [float(time * timeline.time_base) for time in timeline.timestamps]
    assert np.diff(shown) == pytest.approx(STEP, abs=2e-3) and len(shown) == 37


def test_recordings_are_found_by_their_flag(tmp_path: Path) -> None:
    """The discontinuity indicator of the adaptation field, of packets that are counted on."""
    path = encode(tmp_path / "in.ts", [bars(k) for k in range(4)], times=[0, 1, 3000, 3001], options={"g": "1"})
    assert scan(path).notices == ()
    with av.open(str(path)) as container:
        at = [packet.pos for packet in container.demux(video=0) if packet.pts is not None][2]
    data = bytearray(path.read_bytes())
    assert data[at + 3] & 0x20 and data[at + 4]
    data[at + 5] |= 0x80
    path.write_bytes(data)
    assert scan(path).notices[0].startswith("in.ts holds 2 recordings")


def test_slides_of_minutes_are_no_jumps(tmp_path: Path) -> None:
    for sound in ("mp2", ""):
        times = [k * 120 * RATE for k in range(4)]
        path = encode(tmp_path / "in.ts", [bars(k) for k in range(4)], times=times, sound=sound)
        timeline = scan(path)
        assert [float((t - timeline.timestamps[0]) * timeline.time_base) for t in timeline.timestamps] == [
            0,
            120,
            240,
            360,
        ]
        assert timeline.notices == ()


def test_frames_of_an_avi_with_b_frames_are_shown_one_after_another_from_0_on(tmp_path: Path) -> None:
    path = encode(tmp_path / "in.avi", [bars(k) for k in range(14)], options={"bf": "2"}, sound="mp2")
    out = upscale(path, tmp_path / "out.mkv")
    assert times_of(out) == pytest.approx([k * STEP for k in range(14)], abs=1e-3)
    assert times_of(out, "audio")[0] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("suffix", "codec"), [(".gif", "gif"), (".webm", "libvpx-vp9"), (".mkv", "ffv1")])
def test_the_last_frame_is_shown_as_long_as_in_the_input(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"in{suffix}"
    kind = {"gif": "rgb8"}.get(codec, "yuv420p")
    with av.open(str(path), "w") as target:
        stream = target.add_stream(codec, rate=100)
        stream.width, stream.height, stream.pix_fmt = 64, 48, kind
        stream.codec_context.time_base = Fraction(1, 100)
        packets = []
        for number, time in enumerate((0, 10, 210, 215)):
            frame = av.VideoFrame.from_ndarray(bars(number), format="rgb24").reformat(format=kind)
            frame.pts, frame.time_base = time, Fraction(1, 100)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        packets[-1].duration = round(3 / packets[-1].time_base)
        for packet in packets:
            target.mux(packet)
    timeline = scan(path)
    seconds = [float(time * timeline.time_base) for time in timeline.timestamps]
    assert seconds == pytest.approx([0, 0.1, 2.1, 2.15], abs=0.01) and timeline.notices == ()
    assert float(timeline.last_duration * timeline.time_base) == pytest.approx(3, abs=0.01)
    with av.open(str(upscale(path, tmp_path / "out.mkv"))) as made:
        assert made.duration / av.time_base == pytest.approx(5.15, abs=0.01)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("frames", [9, 10, 11, 12])
def test_the_last_frame_need_not_be_the_one_that_is_decoded_last(tmp_path: Path, suffix: str, frames: int) -> None:
    """With B-frames; MP4 and MOV store only the time between two frames as they are decoded."""
    chunk = encode(tmp_path / "chunk.mkv", [bars(k) for k in range(frames)], options={"bf": "3"})
    path = tmp_path / f"out{suffix}"
    join([chunk], path, [4 * k for k in range(frames)], Fraction(1, 100), Fraction(RATE), last_duration=300)
    whole = (frames - 1) * STEP + 3
    with av.open(str(path)) as made:
        assert made.duration / av.time_base == pytest.approx(whole, abs=1e-3)
        stream = made.streams.video[0]
        assert suffix == ".mkv" or float(stream.duration * stream.time_base) == pytest.approx(whole, abs=1e-3)
    timeline = scan(path)
    assert float(timeline.last_duration * timeline.time_base) == pytest.approx(3, abs=1e-3)


def test_plan_counts_the_frames_of_joined_recordings_and_of_files_that_do_not_say_how_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.ts").write_bytes(part(tmp_path / "a.ts", 0.0) + part(tmp_path / "b.ts", 3600.0))
    encode(tmp_path / "raw.h264", [bars(k) for k in range(12)])
    for name, frames in (("in.ts", 40), ("raw.h264", 12)):
        assert main(["plan", str(tmp_path / name), "--fast", "dap", "--scale", "1"]) == 0
        assert f" {frames} frames," in capsys.readouterr().out


def test_plan_refuses_what_upscale_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = remux(encode(tmp_path / "a.mkv", [bars(k) for k in range(6)]), tmp_path / "in.mkv", lambda p: p.dts > 0)
    said = []
    for command in (["plan", str(path)], ["upscale", str(path), str(tmp_path / "out.mkv")]):
        assert main([*command, "--fast", "dap", "--scale", "1"]) == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1] and "in.mkv" in said[0]


def test_frames_whose_times_are_not_stated_come_before_the_first_one_that_is() -> None:
    """Matroska states none before 0 of video with B-frames."""
    assert in_order([ABSENT, ABSENT, 0, 40, ABSENT], 40) == (-80, -40, 0, 40, 80)
    assert in_order([ABSENT, ABSENT], 40) == (0, 40)
