"""Image sequences of which images, or parts of images, are missing."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rendered import write_exr, write_parts

from patchvsr_core.__main__ import main
from patchvsr_core.errors import MediaError
from patchvsr_core.video import read_clip
from patchvsr_core.video.image_files import is_whole_exr
from patchvsr_core.video.sequence import missing_numbers
from patchvsr_core.video.timeline import scan

NOISE = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)


def write_shot(folder: Path, suffix: str, numbers: list[int]) -> Path:
    """Images of noise, which take many bytes."""
    folder.mkdir()
    for number in numbers:
        path = folder / f"shot_{number:04d}{suffix}"
        if suffix == ".exr":
            write_exr(path, {name: (NOISE[..., k] / 255).astype(np.float16) for k, name in enumerate("RGB")})
        else:
            Image.fromarray(NOISE).save(path)
    return folder


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def halve(path: Path) -> None:
    cut(path, 0.5)


def overwrite(path: Path) -> None:
    """Bytes in the middle are others."""
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20] = bytes(byte ^ 255 for byte in data[middle : middle + 20])
    path.write_bytes(data)


def upscale(folder: Path, *more: str) -> int:
    out = folder.with_name("out")
    out.mkdir(exist_ok=True)
    return main(["upscale", str(folder), str(out), "--fast", "dap", "--scale", "2", "--device", "cpu", *more])


@pytest.mark.parametrize("suffix", [".png", ".exr", ".jpg", ".tif"])
def test_whole_images_give_no_notice(tmp_path: Path, suffix: str) -> None:
    assert scan(write_shot(tmp_path / "in", suffix, [1, 2, 3]), strict=True).notices == ()


@pytest.mark.parametrize("share", [0.97, 0.5])
@pytest.mark.parametrize("suffix", [".exr", ".jpg"])
def test_an_image_of_which_a_part_is_missing_is_named(
    tmp_path: Path, suffix: str, share: float, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_shot(tmp_path / "in", suffix, [1, 2, 3])
    cut(folder / f"shot_0002{suffix}", share)
    said = f"1 of 3 images of in are truncated or damaged (shot_0002{suffix})"
    assert upscale(folder, "--strict") == 2
    assert f"{said}; render or copy them again." in capsys.readouterr().err
    assert upscale(folder) == 0
    assert f"{said}; what they lack stays empty; render or copy them again." in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 3


@pytest.mark.parametrize(("suffix", "harm"), [(".png", halve), (".tif", halve), (".png", overwrite)])
def test_an_image_that_cannot_be_read_is_named(
    tmp_path: Path, suffix: str, harm: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_shot(tmp_path / "in", suffix, [1, 2, 3])
    harm(folder / f"shot_0002{suffix}")
    assert upscale(folder) == 2
    said = f"shot_0002{suffix} cannot be decoded as an image; render or copy it again."
    assert said in capsys.readouterr().err


def test_an_image_without_a_picture_is_named(tmp_path: Path) -> None:
    """A GIF without frames, under another name."""
    folder = write_shot(tmp_path / "in", ".png", [1, 2])
    (folder / "shot_0003.png").write_bytes(b"GIF89a\x80\x00\x60\x00\x00\x00\x00;")
    with pytest.raises(MediaError, match=r"shot_0003\.png cannot be decoded as an image"):
        scan(folder)


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    folder = write_shot(tmp_path / "in", ".png", [1, 2])
    Image.fromarray(NOISE[:50]).save(folder / "shot_0003.png")
    with pytest.raises(MediaError, match=r"in changes its resolution midway, at shot_0003\.png; split it there"):
        scan(folder)


def test_a_jpeg_that_is_damaged_midway_is_named(tmp_path: Path) -> None:
    folder = write_shot(tmp_path / "in", ".jpg", [1, 2])
    data = bytearray((folder / "shot_0002.jpg").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xff\x00" * 20  # codes that stand for nothing
    (folder / "shot_0002.jpg").write_bytes(data)
    with pytest.raises(MediaError, match=r"1 of 2 images of in are truncated or damaged \(shot_0002\.jpg\)"):
        scan(folder, strict=True)


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([1, 2, 3, 6, 7], [4, 5]),
        ([0, 2, 4, 8], [6]),
        ([1, 3, 5, 7], []),
        ([5], []),
        ([1, 50], []),
        ([93012, 93517, 94105, 101233], []),
        ([*range(10), *range(90, 100)], [*range(10, 90)]),
        ([1, 2, 3, 900_000_001], []),
    ],
    ids=["gap", "gap in every second", "every second", "one", "two", "times of the day", "a long gap", "takes"],
)
def test_numbers_that_are_missing(tmp_path: Path, numbers: list[int], missing: list[int]) -> None:
    for number in numbers:
        (tmp_path / f"shot_{number:04d}.png").touch()
    assert missing_numbers(tmp_path) == missing


@pytest.mark.parametrize("names", [["a.png", "b.png"], ["a1.png", "a4.png", "b1.png", "b2.png"]])
def test_names_without_a_common_number_lack_none(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert missing_numbers(tmp_path) == []


def test_missing_images_are_said_and_refused_only_where_that_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_shot(tmp_path / "in", ".png", [1, 2, 3, 6, 7, 9])
    said = "3 of 9 images of in are missing (4-5, 8)"
    assert upscale(folder, "--strict") == 2
    assert f"{said}; render or copy them again." in capsys.readouterr().err
    assert upscale(folder) == 0
    assert f"{said}; the others are shown one after another." in capsys.readouterr().err
    with caplog.at_level(logging.WARNING):
        assert len(read_clip(folder).frames) == 6
    assert said in caplog.text


def exr_files(folder: Path) -> list[Path]:
    """Of every compression, of several parts, and in tiles."""
    import OpenEXR

    channels = {name: (NOISE[..., 0] / 255).astype(np.float16) for name in "RGB"}
    kinds = ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")
    files = [write_exr(folder / f"{kind}.exr", channels, kind) for kind in kinds]
    files.append(write_parts(folder / "parts.exr", {"rgb": channels, "z": {"Z": NOISE[..., 1].astype(np.float32)}}))
    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 40
    tiles.mode = OpenEXR.ONE_LEVEL
    return [*files, write_exr(folder / "tiles.exr", channels, type=OpenEXR.tiledimage, tiles=tiles)]


def test_an_exr_is_whole_to_its_last_byte(tmp_path: Path) -> None:
    for file in exr_files(tmp_path):
        assert is_whole_exr(file), file.name
        cut(file, 1 - 1e-9)
        assert not is_whole_exr(file), file.name
        cut(file, 0.5)
        assert not is_whole_exr(file), file.name


def test_an_exr_whose_writer_was_stopped_is_not_whole(tmp_path: Path) -> None:
    """The places of its last rows are zero."""
    path = write_exr(tmp_path / "a.exr", {name: NOISE[..., 0].astype(np.float32) for name in "RGB"})
    data = bytearray(path.read_bytes())
    chunks = NOISE.shape[0] // 16
    first = next(at for at in range(len(data)) if struct.unpack_from("<Q", data, at)[0] == at + 8 * chunks)
    data[first + 8 * (chunks - 1) : first + 8 * chunks] = bytes(8)
    path.write_bytes(data)
    assert not is_whole_exr(path)
