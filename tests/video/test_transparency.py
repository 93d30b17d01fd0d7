"""Transparency of palettes and grey pictures is kept; what is opaque is not taken for transparent."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from faulty import bars

from patchvsr_core.__main__ import main
from patchvsr_core.video import probe, read_clip


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
