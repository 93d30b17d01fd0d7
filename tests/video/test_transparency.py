"""Transparency of palettes and grey pictures is kept; what is opaque is not taken for transparent."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from faulty import bars
from PIL import Image

from patchvsr_core.__main__ import main
from patchvsr_core.video import probe, read_clip
from patchvsr_core.video.timeline import scan


def png(path: Path, color_type: int, pixels: np.ndarray, *chunks: tuple[bytes, bytes]) -> Path:
    """(H, W) uint8 as a palette (3) or grey (0) PNG."""
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, color_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(data))
    return path


PALETTE = (b"PLTE", bytes([255, 0, 0, 0, 255, 0]))
HALVES = np.repeat(np.array([[0] * 16 + [1] * 16], np.uint8), 24, 0)


@pytest.mark.parametrize(
    ("color_type", "chunks", "alpha"),
    [
        (3, (PALETTE, (b"tRNS", bytes([0, 128]))), (0, 128)),
        (3, (PALETTE,), None),
        (0, ((b"tRNS", struct.pack(">H", 1)),), (255, 0)),
        (0, (), None),
    ],
    ids=["palette", "opaque palette", "grey", "opaque grey"],
)
def test_transparency_of_pictures_goes_through_a_run(
    tmp_path: Path, color_type: int, chunks: tuple[tuple[bytes, bytes], ...], alpha: tuple[int, int] | None
) -> None:
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    png(tmp_path / "in" / "f_1.png", color_type, HALVES, *chunks)
    assert main(["upscale", str(tmp_path / "in"), str(tmp_path / "out"), "--fast", "dap", "--scale", "2"]) == 0
    made = read_clip(tmp_path / "out")
    assert made.info.picture.alpha == (alpha is not None) and made.frames.shape[1:3] == (48, 64)
    if alpha is not None:
        assert (made.frames[0, 24, 8, 3] * 255).item() == pytest.approx(alpha[0], abs=2)
        assert (made.frames[0, 24, 56, 3] * 255).item() == pytest.approx(alpha[1], abs=2)


@pytest.mark.parametrize("transparent_from", [None, 0])
def test_only_gifs_with_transparent_pixels_are_transparent(tmp_path: Path, transparent_from: int | None) -> None:
    with av.open(str(tmp_path / "in.gif"), "w") as target:
        stream = target.add_stream("gif", rate=10, options={"gifflags": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr8" if transparent_from is None else "pal8"
        for number in range(4):
            if transparent_from is None:
                frame = av.VideoFrame.from_ndarray(bars(number), format="rgb24").reformat(format="bgr8")
            else:
                palette = np.zeros((256, 4), np.uint8)  # alpha first
                palette[:, 0], palette[:, 1] = 255, np.arange(256)
                palette[7] = 0 if number >= transparent_from else palette[7]
                indices = np.full((48, 64), 7 if number >= transparent_from else 9, np.uint8)
                frame = av.VideoFrame.from_ndarray((indices, palette), format="pal8")
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    assert probe(tmp_path / "in.gif").picture.alpha == (transparent_from is not None)


def apng(
    path: Path,
    color_type: int,
    frames: list[np.ndarray],
    *chunks: tuple[bytes, bytes],
    delays: tuple[int, ...],
) -> Path:
    """(H, W) uint8 as a palette (3) or (H, W, 4) as an RGBA (6) animation; delays in hundredths of a second."""
    height, width = frames[0].shape[:2]
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)), *chunks]
    parts.append((b"acTL", struct.pack(">II", len(frames), 0)))
    for number, pixels in enumerate(frames):
        order = 2 * number
        control = struct.pack(">IIIIIHHBB", max(0, order - 1), width, height, 0, 0, delays[number], 100, 0, 0)
        rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))
        parts.append((b"fcTL", control))
        parts.append((b"fdAT", struct.pack(">I", order) + rows) if number else (b"IDAT", rows))
    parts.append((b"IEND", b""))
    data = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(data))
    return path


@pytest.mark.parametrize("is_transparent", [False, True])
@pytest.mark.parametrize("color_type", [3, 6])
def test_only_animated_pngs_with_transparent_pixels_are_transparent(
    tmp_path: Path, color_type: int, is_transparent: bool
) -> None:
    """Also where the first frame has none; and every frame is shown as long as in the input."""
    if color_type == 3:
        frames = [np.zeros((24, 32), np.uint8), HALVES if is_transparent else np.zeros((24, 32), np.uint8)]
        chunks = (PALETTE, (b"tRNS", bytes([255, 0])))
    else:
        frames, chunks = [np.full((24, 32, 4), 255, np.uint8) for _ in range(2)], ()
        frames[1][:, :8, 3] = 255 - 255 * is_transparent
    path = apng(tmp_path / "in.apng", color_type, frames, *chunks, delays=(10, 300))
    made = tmp_path / "out.mkv" if is_transparent else tmp_path / "out.mp4"
    assert main(["upscale", str(path), str(made), "--fast", "dap", "--scale", "2"]) == 0
    clip, timeline = read_clip(made), scan(made)
    assert clip.frames.shape[:3] == (2, 48, 64) and clip.info.picture.alpha == is_transparent
    assert [float(time * timeline.time_base) for time in timeline.timestamps] == [0, 0.1]
    assert float(timeline.last_duration * timeline.time_base) == 3
    if is_transparent:
        assert clip.frames[0, ..., 3].min() == 1 and clip.frames[1, ..., 3].min() < 0.02


def test_animated_pngs_that_are_misread_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Frames of a part of the picture with several pixels in a byte."""
    pictures = [Image.new("P", (64, 48)) for _ in range(2)]
    for number, picture in enumerate(pictures):
        picture.putpalette(bytes(range(48)))
        picture.putpixel((0, 0), 15)
        picture.paste(7, (21 + number, 10, 40 + number, 20))
    path = tmp_path / "in.apng"
    pictures[0].save(path, format="PNG", save_all=True, append_images=pictures[1:], bits=4)
    assert main(["plan", str(path), "--fast", "dap", "--scale", "2"]) == 2
    assert "in.apng is an animated PNG of few colours, which FFmpeg misreads; convert it to .gif" in (
        capsys.readouterr().err
    )


def test_cmyk_jpegs_are_opaque_and_keep_their_colors(tmp_path: Path) -> None:
    """They are decoded to a format with a fourth channel."""
    (tmp_path / "in").mkdir()
    color = np.array([200, 120, 40], np.uint8)
    Image.fromarray(np.full((24, 32, 3), color)).convert("CMYK").save(tmp_path / "in" / "f_1.jpg", quality=100)
    assert not probe(tmp_path / "in").picture.alpha
    assert main(["upscale", str(tmp_path / "in"), str(tmp_path / "out.mp4"), "--fast", "dap", "--scale", "2"]) == 0
    clip = read_clip(tmp_path / "out.mp4")
    assert clip.frames.shape[-1] == 3
    assert np.abs(clip.frames[0].mean((0, 1)).numpy() * 255 - color).max() <= 4
