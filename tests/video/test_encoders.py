"""What an encoder or decoder cannot do is said in a sentence, with one that can."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from clips import colors, write

from patchvsr_core.__main__ import main


@pytest.mark.parametrize(
    ("fps", "size", "codec", "name", "said"),
    [
        (
            Fraction(300),
            (24, 32),
            "av1",
            "out.webm",
            "av1 cannot encode 32x24 pixels at 300 frames/s; choose the codec h264",
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
