"""Images as cameras, scanners and renderers write them."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import colors

from patchvsr_core.video import probe, read_clip
from patchvsr_core.video.sequence import images, write_image


def numbered_images(folder: Path, suffix: str) -> np.ndarray:
    """Write three images; returns what they show, (T, 16, 24, 3) in [0, 1]."""
    folder.mkdir()
    shown = (colors(3, 16, 24).numpy() * 255).round().astype(np.uint8)
    for number, image in enumerate(shown):
        assert cv2.imwrite(str(folder / f"f_{number:03d}{suffix}"), image[..., ::-1])
    return shown / 255


def with_exif(image: Path, orientation: int) -> None:
    """Add an EXIF segment to a JPEG, as cameras write it (CIPA DC-008: tag 0x0112)."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + struct.pack("<I", 0)
    content = b"Exif\0\0" + tiff
    data = image.read_bytes()
    image.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + data[2:])


@pytest.mark.parametrize("suffix", [".tif", ".png", ".bmp"])
def test_lossless_images_come_in_as_they_are(tmp_path: Path, suffix: str) -> None:
    expected = numbered_images(tmp_path / "images", suffix)
    clip = read_clip(tmp_path / "images")
    assert np.abs(clip.frames[..., :3].numpy() - expected).max() < 1e-6


def test_a_photograph_is_turned_as_its_camera_states(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    expected = numbered_images(folder, ".jpg")
    plain = read_clip(folder).frames.numpy()
    assert np.abs(plain - expected).mean() < 0.05
    for image in folder.iterdir():
        with_exif(image, 6)  # its top is at the right, so that it is turned clockwise
    assert (probe(folder).height, probe(folder).width) == (24, 16)
    assert np.array_equal(read_clip(folder).frames.numpy(), np.rot90(plain, -1, (1, 2)))


def test_names_with_digits_that_are_no_numbers(tmp_path: Path) -> None:
    for name in ("a2.png", "a10.png", "a1²3.png"):
        write_image(tmp_path / name, colors(1, 8, 8)[0], 8, Fraction(1))
    assert [file.name for file in images(tmp_path)] == ["a1²3.png", "a2.png", "a10.png"]
