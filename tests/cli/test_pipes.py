"""``-`` as input and output: streams of other programs."""

from __future__ import annotations

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import colors, with_audio, write

from patchvsr_core.__main__ import main
from patchvsr_core.video import Picture, VideoWriter, read_clip


def piped(monkeypatch: pytest.MonkeyPatch, given: bytes, *arguments: str) -> tuple[int, bytes]:
    """(exit code, standard output) of an upscaling that reads ``given``."""
    out = io.BytesIO()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        patched.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
        code = main(["upscale", *arguments, "--fast", "dap", "--scale", "2"])
        return code, out.getvalue()


def as_nut(path: Path) -> bytes:
    """Raw frames and audio of a file."""
    made = io.BytesIO()
    with av.open(str(path)) as source, av.open(made, "w", format="nut") as target:
        video: Any = target.add_stream("rawvideo", rate=25)
        first = source.streams.video[0]
        video.width, video.height, video.pix_fmt = first.width, first.height, "yuv420p"
        sound = target.add_stream_from_template(source.streams.audio[0], opaque=True)
        for packet in source.demux():
            if packet.stream.type == "video":
                target.mux([coded for frame in packet.decode() for coded in video.encode(frame)])
            elif packet.dts is not None:
                packet.stream = sound
                target.mux(packet)
        target.mux(video.encode(None))
    return made.getvalue()


def as_y4m(frames: np.ndarray, rate: str = "30000:1001") -> bytes:
    """4:4:4 frames (T, 3, H, W) with a pixel aspect of 32:27."""
    height, width = frames.shape[2:]
    header = f"YUV4MPEG2 W{width} H{height} F{rate} Ip A32:27 C444\n".encode()
    return header + b"".join(b"FRAME\n" + frame.tobytes() for frame in frames)


def video_of(data: bytes) -> tuple[list[np.ndarray], list[Fraction], Any]:
    """(RGB frames, as BT.709 like the clips of these tests, times, facts)."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        frames = [*container.decode(stream)]
        facts = (container.format.name, stream.sample_aspect_ratio, stream.average_rate, len(container.streams.audio))
        times = [frame.pts * frame.time_base for frame in frames]
        return [frame.to_ndarray(format="rgb24", src_colorspace=1) for frame in frames], times, facts


def test_nut_goes_in_and_out_with_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = with_audio(tmp_path / "in.mkv", colors(6, 48, 64))
    code, made = piped(monkeypatch, as_nut(source), "-", "-")
    frames, times, facts = video_of(made)
    assert (code, facts[0], facts[3]) == (0, "nut", 1)
    assert times == [Fraction(k, 25) for k in range(6)]
    assert (
        main(["upscale", str(source), str(tmp_path / "f.mkv"), "--fast", "dap", "--scale", "2", "--codec", "ffv1"]) == 0
    )
    expected = read_clip(tmp_path / "f.mkv").frames.numpy() * 255
    assert np.median(np.abs(np.stack(frames) - expected)) < 2.5


def test_y4m_goes_in_and_out(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = np.full((4, 3, 48, 72), 128, np.uint8)
    levels[:, 0] = np.arange(60, 100, 10, dtype=np.uint8)[:, None, None]
    code, made = piped(monkeypatch, as_y4m(levels), "-", "-")
    _, times, facts = video_of(made)
    assert (code, facts) == (0, ("yuv4mpegpipe", Fraction(32, 27), Fraction(30000, 1001), 0))
    assert times == [k * Fraction(1001, 30000) for k in range(4)]
    assert made.startswith(b"YUV4MPEG2 W144 H96 F30000:1001 Ip A32:27 C420mpeg2")
    with av.open(io.BytesIO(made)) as container:
        luma = [float(frame.to_ndarray()[:96].mean()) for frame in container.decode(video=0)]
    assert luma == pytest.approx([60, 70, 80, 90], abs=1.5)


def test_a_pipe_becomes_a_file_and_leaves_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, shown = piped(monkeypatch, as_y4m(np.full((2, 3, 24, 32), 90, np.uint8)), "-", str(tmp_path / "out.mp4"))
    assert code == 0 and b"out.mp4: 2 frames of 64x48" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert len(read_clip(tmp_path / "out.mp4").frames) == 2


def test_times_of_frames_and_depth_go_through_nut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times, picture = [0, 2, 3, 9], Picture(depth=10)
    with VideoWriter(
        tmp_path / "in.mkv", (24, 32), times, Fraction(1, 20), fps=Fraction(20), picture=picture
    ) as writer:
        writer.write(colors(4, 24, 32))
    _, made = piped(monkeypatch, b"", str(tmp_path / "in.mkv"), "-")
    assert [float(time) for time in video_of(made)[1]] == pytest.approx([0, 0.1, 0.15, 0.45], abs=1e-3)
    with av.open(io.BytesIO(made)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p10le"
    code, flat = piped(monkeypatch, b"", str(tmp_path / "in.mkv"), "-", "--pipe", "y4m")
    assert code == 0 and b" C420p10 " in flat[:100]


@pytest.mark.parametrize("kind", ["nut", "y4m"])
@pytest.mark.parametrize(
    "picture",
    [
        Picture(full_range=True),
        Picture(primaries=12, transfer=13),
        Picture(matrix=9, primaries=9, transfer=16, depth=10),
        Picture(matrix=6, primaries=6, transfer=6),
        Picture(),
    ],
    ids=["full range", "P3", "PQ", "BT.601", "BT.709"],
)
def test_colors_go_through_pipes_or_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str, picture: Picture
) -> None:
    source = write(tmp_path / "in.mkv", colors(1, 300, 48), crf=4, picture=picture)
    code, made = piped(monkeypatch, b"", str(source), "-", "--pipe", kind)
    with av.open(io.BytesIO(made)) as container:
        matrix = {6: 5}.get(picture.matrix, picture.matrix)
        decoded = next(container.decode(video=0))
        decoded.colorspace = picture.matrix
        frame = decoded.to_ndarray(format="rgb24", src_colorspace=matrix)
    small = frame.astype(np.float32).reshape(300, 2, 48, 2, 3).mean((1, 3)) / 255
    assert code == 0 and np.median(np.abs(small - read_clip(source).frames[0].numpy())) < 2 / 255
    tags = f"matrix {picture.matrix}, primaries {picture.primaries}, transfer {picture.transfer}."
    is_assumed = picture.matrix == 1 and picture.primaries == 1
    assert (f"tell the program that reads it: {tags}" in caplog.text) != is_assumed


@pytest.mark.parametrize("given", [b"", b"RIFF of another kind"])
def test_what_is_no_stream_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: bytes
) -> None:
    assert piped(monkeypatch, given, "-", str(tmp_path / "out.mp4"))[0] == 2
    assert "Standard input has no y4m or NUT stream; pipe one in" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_a_reader_that_ends_early_is_a_sentence(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mkv", colors(8, 240, 320))
    command = [sys.executable, "-m", "patchvsr_core", "upscale", str(source), "-", "--pipe", "y4m", "--fast", "dap"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.read(64)
        run.stdout.close()
        told = run.stderr.read().decode()
        assert run.wait() == 2
    assert "The program that reads the result has ended" in told and "Traceback" not in told
