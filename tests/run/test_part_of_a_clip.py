"""A job over a part of a clip: its sound, subtitles, chapters and timecode are those of the part."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import colors, write
from faulty import bars, encode, times_of
from jobs import run

from patchvsr_core.__main__ import main
from patchvsr_core.errors import OutputError
from patchvsr_core.run.job import Job
from patchvsr_core.settings import TINY
from patchvsr_core.video import probe, read_clip, scan
from patchvsr_core.video.chunk_files import Encoding
from patchvsr_core.video.info import with_section
from patchvsr_core.video.passthrough import PassthroughStreams
from patchvsr_core.video.sequence import write_image

SPOKEN = {"early": (0.2, 1.2), "inside": (1.4, 1.5), "late": (1.9, 2.2), "after": (2.2, 2.3)}
WORDS = "\n\n".join(
    f"{number}\n00:00:{begin:06.3f} --> 00:00:{end:06.3f}\n{word}".replace(".", ",")
    for number, (word, (begin, end)) in enumerate(SPOKEN.items(), 1)
)
"""Subtitles."""


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """2.4 s with a tone, subtitles, three chapters and a timecode."""
    plain = encode(tmp_path / "plain.mkv", [bars(number) for number in range(60)], options={"g": "12"}, sound="aac")
    script = tmp_path / "words.srt"
    script.write_text(WORDS)
    path = tmp_path / "film.mkv"
    with av.open(str(plain)) as source, av.open(str(script)) as words, av.open(str(path), "w") as target:
        streams: dict[Any, Any] = {s: target.add_stream_from_template(s, opaque=True) for s in source.streams}
        streams |= {s: target.add_stream_from_template(s, opaque=True) for s in words.streams}
        streams[source.streams.video[0]].metadata["timecode"] = "01:00:00:00"
        parts = [("one", 0, 900), ("two", 900, 1600), ("three", 1600, 2400)]
        base = Fraction(1, 1000)
        target.set_chapters(
            [
                {"id": n, "start": start, "end": end, "time_base": base, "metadata": {"title": name}}
                for n, (name, start, end) in enumerate(parts)
            ]
        )
        packets = [packet for each in (source, words) for packet in each.demux() if packet.dts is not None]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            packet.stream = streams[packet.stream]
            target.mux(packet)
    return path


def upscaled(source: Path, output: Path, begin: str | None, end: str | None, **choices: Any) -> Path:
    info = with_section(probe(source), begin, end)
    run(Job(info, output, (info.height * 2, info.width * 2), TINY, 5, 1, Encoding(**choices)))
    return output


def shown(path: Path, kind: str) -> list[tuple[float, float]]:
    """(begin, end) of the packets of a stream, in seconds."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        packets = [p for p in container.demux(stream) if p.pts is not None and p.size]
        base = float(stream.time_base or 1)
        return sorted((round(p.pts * base, 3), round((p.pts + (p.duration or 0)) * base, 3)) for p in packets)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_everything_in_the_part_and_nothing_else(tmp_path: Path, film: Path, suffix: str) -> None:
    out = upscaled(film, tmp_path / f"out{suffix}", "1", "2", subtitles=suffix == ".mkv")
    assert len(read_clip(out).frames) == 25 and times_of(out)[0] == pytest.approx(0, abs=0.002)
    sound = shown(out, "audio")
    assert 0 <= sound[0][0] < 0.022 and 0.96 < sound[-1][0] < 1, "in whole packets of 21 ms"
    assert all(late[0] == pytest.approx(early[1], abs=0.002) for early, late in pairwise(sound))
    if suffix == ".mkv":
        assert shown(out, "subtitle") == [(0, 0.2), (0.4, 0.5), (0.9, 1)]
    with av.open(str(out)) as container:
        chapters = [(c["metadata"]["title"], float(c["start"] * c["time_base"])) for c in container.chapters()]
        tags = {**container.streams.video[0].metadata, **container.metadata}
    assert chapters == [("two", 0), ("three", pytest.approx(0.6))]
    assert next(value for name, value in tags.items() if name.lower() == "timecode") == "01:00:01:00"


def test_sound_stays_in_step(tmp_path: Path) -> None:
    """What was heard with a frame is heard with it still."""
    plain = encode(tmp_path / "in.mp4", [bars(number) for number in range(60)], sound="flac")
    out = upscaled(plain, tmp_path / "out.mp4", "1.12", None)
    assert np.array_equal(heard_at(out, 0.3), heard_at(plain, 1.42))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_sound_of_a_late_part(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read from shortly before the part until shortly after it."""
    frames = [bars(number) for number in range(200)]
    source = encode(tmp_path / f"in{suffix}", frames, rate=5, options={"g": "10"}, sound="flac")
    read: list[float] = []
    is_near = PassthroughStreams._is_near
    monkeypatch.setattr(PassthroughStreams, "_is_near", lambda self, p: read.append(time_of(p)) or is_near(self, p))
    out = upscaled(source, tmp_path / "out.mp4", "20", "21")
    assert 9 < min(read) < 10 and 31 <= max(read) < 31.3
    assert shown(out, "audio")[0][0] < 0.1 and 0.9 < shown(out, "audio")[-1][0] < 1
    assert np.array_equal(heard_at(out, 0.5), heard_at(source, 20.5))


def time_of(packet: Any) -> float:
    return float((packet.dts or 0) * packet.time_base)


def heard_at(path: Path, time: float) -> np.ndarray:
    """100 samples of sound."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    begin = round((time - float(frames[0].pts * frames[0].time_base)) * 48000)
    return samples[begin : begin + 100]


def test_another_part_is_another_job(tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.mkv", colors(20, 24, 32)), tmp_path / "out.mkv"
    info, calls = with_section(probe(source), "2f", "14f"), []

    def work(frames: Any, target: Any, *others: Any, **more: Any) -> Any:
        calls.append(len(frames))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return frames.repeat_interleave(2, 1).repeat_interleave(2, 2)

    job = Job(info, out, (48, 64), TINY, 5, 1)
    with pytest.raises(KeyboardInterrupt):
        run(job, work)
    with pytest.raises(OutputError, match="input"):
        run(Job(with_section(probe(source), "3f", "15f"), out, (48, 64), TINY, 5, 1), work)
    assert run(job, work)[0] > 0, "the same part resumes"
    assert len(read_clip(out).frames) == 12


def test_images_of_a_part_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    frames = colors(8, 16, 16)
    for number, frame in enumerate(frames):
        write_image(tmp_path / "in" / f"f_{number + 101}.png", frame, 8, Fraction(1))
    for command in (["--from", "2f", "--to", "5f"], ["--from", "0.0834", "--to", "0.21"]):
        out = tmp_path / f"out{command[1]}"
        out.mkdir()
        assert not main(["upscale", str(tmp_path / "in"), str(out), "--fast", "dap", "--scale", "2", *command])
        assert sorted(file.name for file in out.iterdir()) == ["frame_00103.png", "frame_00104.png", "frame_00105.png"]


def test_the_command_line_says_what_is_no_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.mkv", colors(10, 24, 32))
    for options, said in ((["--from", "soon"], "soon is not a time"), (["--from", "1"], "is 0.40 s long")):
        assert main(["upscale", str(source), str(tmp_path / "out.mkv"), "--fast", "dap", *options])
        assert said in capsys.readouterr().err
    main(["plan", str(source), "--fast", "dap", "--from", "0.12"])
    assert "7 frames" in capsys.readouterr().out
    assert len(scan(with_section(probe(source), "0.12", None)).timestamps) == 7
