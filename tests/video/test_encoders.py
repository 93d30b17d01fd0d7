"""What an encoder or decoder cannot do is said in a sentence, with one that can."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from clips import colors, write

from patchvsr_core.__main__ import main
from patchvsr_core.video import VideoWriter, read_clip
from patchvsr_core.video.encoders import CODECS


@pytest.mark.parametrize(
    ("fps", "size", "codec", "name", "said"),
    [
        (
            Fraction(300),
            (64, 96),
            "av1",
            "out.webm",
            "av1 cannot encode 96x64 pixels at 300 frames/s; choose the codec h264",
        ),
        (
            Fraction(25),
            (18, 640),
            "av1",
            "out.webm",
            "AV1 needs at least 64x64 pixels, not 640x18; choose another size or codec.",
        ),
        (
            Fraction(25),
            (8, 8),
            "hevc",
            "out.mp4",
            "hevc cannot encode 8x8 pixels at 25 frames/s; choose the codec h264",
        ),
    ],
)
def test_limits_of_an_encoder_are_a_sentence_before_the_run(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fps: Fraction,
    size: tuple[int, int],
    codec: str,
    name: str,
    said: str,
) -> None:
    source = write(tmp_path / "in.mkv", colors(2, *size), fps=fps)
    command = ["upscale", str(source), str(tmp_path / name), "--fast", "dap", "--scale", "1", "--codec", codec]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert said in told and "avcodec" not in told and not (tmp_path / name).exists()


def test_an_animated_webp_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = bytes([2, 0, 0, 0, 7, 0, 0, 7, 0, 0])
    chunks = b"VP8X" + len(header).to_bytes(4, "little") + header + b"ANIM\x06\0\0\0\0\0\0\0\0\0"
    (tmp_path / "a.webp").write_bytes(b"RIFF" + (len(chunks) + 4).to_bytes(4, "little") + b"WEBP" + chunks)
    assert main(["upscale", str(tmp_path / "a.webp"), str(tmp_path / "out.mp4"), "--fast", "dap"]) == 2
    assert "a.webp is an animated WebP, which FFmpeg cannot read; convert it to .gif" in capsys.readouterr().err


ENCODE = """
import sys
from fractions import Fraction
from pathlib import Path
import torch
from patchvsr_core.errors import OutputError
from patchvsr_core.video import VideoWriter
from patchvsr_core.video.encoders import CODECS

for codec in CODECS:
    for size in ((16, 48), (64, 48)):
        print(codec, *size, end=" ", flush=True)  # the last line names what ended the process
        output = Path(sys.argv[1]) / f"{codec}_{size[0]}{CODECS[codec].suffixes[-1]}"
        try:
            frames = torch.rand(8, *size, 3)
            with VideoWriter(output, size, range(8), Fraction(1, 25), fps=Fraction(25), codec=codec) as writer:
                writer.write(frames)
            print("written", flush=True)
        except OutputError as error:
            print(error, flush=True)
"""


def test_small_pictures_are_encoded_within_their_buffers(tmp_path: Path) -> None:
    """Under the C library's checks of its heap, which end a process that wrote behind an array."""
    heap = {"LD_PRELOAD": "libc_malloc_debug.so.0", "GLIBC_TUNABLES": "glibc.malloc.check=3:glibc.malloc.perturb=165"}
    command = [sys.executable, "-c", ENCODE, str(tmp_path)]
    ran = subprocess.run(command, env=os.environ | heap, capture_output=True, text=True, check=False, timeout=300)
    if "cannot be preloaded" in ran.stderr:
        pytest.skip("needs glibc's libc_malloc_debug.so.0")
    assert ran.returncode == 0, (ran.stdout[-100:], ran.stderr)
    lines = iter(ran.stdout.splitlines())
    for codec in CODECS:
        for height in (16, 64):
            line = next(lines)
            assert line.startswith(f"{codec} {height} 48 ")
            assert ("needs at least" in line) if codec == "av1" else line.endswith(" written"), line


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_clips_of_one_or_two_frames_do_not_depend_on_what_is_left_in_memory(
    tmp_path: Path, frames: int, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """x265 gives them decoding times of any value; here always wrong ones."""
    muxed = []

    class Wrong:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def encode(self, frame: Any) -> list[Any]:
            packets = self.stream.encode(frame)
            for packet in packets:
                packet.dts = packet.pts + 10**9
            muxed.extend(packets)
            return packets

    original = VideoWriter._video_stream
    monkeypatch.setattr(VideoWriter, "_video_stream", lambda self: Wrong(original(self)))
    path = write(tmp_path / f"out{suffix}", colors(frames, 64, 96), codec="hevc")
    assert len(read_clip(path).frames) == len(muxed) == frames
