"""Images as renderers write them: floating point, lights beyond any number, transparency."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from rendered import write_exr
from torch import Tensor

from patchvsr_core.__main__ import main
from patchvsr_core.srgb import to_display, to_linear
from patchvsr_core.video import read_clip
from patchvsr_core.video.linear import linear_pixels
from patchvsr_core.video.reader import iter_frames, to_tensor
from patchvsr_core.video.sequence import write_image


def write_pixels(path: Path, pixels: np.ndarray, kind: type = np.float16) -> Path:
    """(H, W, 3 or 4) in linear light, as it is."""
    return write_exr(path, {name: pixels[..., k].astype(kind) for k, name in enumerate("RGBA"[: pixels.shape[-1]])})


def doubled(source: Path, suffix: str, *more: str) -> Tensor:
    """What a run makes of a sequence."""
    out = source.with_name(f"out{suffix}")
    out.mkdir()
    pattern = str(out / f"%d{suffix}")
    assert main(["upscale", str(source), pattern, "--fast", "dap", "--scale", "2", "--device", "cpu", *more]) == 0
    return read_clip(pattern).frames


@pytest.fixture
def fireflies(tmp_path: Path) -> Path:
    """Three grey images; one pixel of the second is to be chosen."""
    for number in range(3):
        write_pixels(tmp_path / "in" / f"shot_{number:04d}.exr", np.full((24, 32, 3), 0.2))
    return tmp_path / "in"


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize(
    ("value", "read"), [(np.nan, 0.0), (np.inf, 65504.0), (-np.inf, 0.0)], ids=["NaN", "Inf", "-Inf"]
)
def test_a_pixel_that_is_no_number_harms_no_other(
    fireflies: Path, kind: type, value: float, read: float, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = np.full((24, 32, 3), 0.2)
    expected = torch.from_numpy(pixels).float()
    pixels[12, 16], expected[12, 16] = value, read
    write_pixels(fireflies / "shot_0001.exr", pixels, kind)
    with caplog.at_level(logging.WARNING):
        frames = read_clip(fireflies).frames
    assert torch.allclose(frames[1], to_display(expected), rtol=1e-3, atol=1e-3)
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 3 images have pixels that are NaN or Inf, the first is shot_0001.exr; NaN is read as black, Inf as the "
        "brightest light that an EXR holds."
    ]


@pytest.mark.parametrize("suffix", [".png", ".exr"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_firefly_stays_small_in_a_run(
    fireflies: Path, suffix: str, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.full((24, 32, 3), 0.2)
    pixels[12, 16] = value
    write_pixels(fireflies / "shot_0001.exr", pixels)
    frames = doubled(fireflies, suffix)
    assert capsys.readouterr().err.count("the first is shot_0001.exr") == 1
    assert torch.isfinite(frames).all()
    other = (frames[1] - frames[0]).abs().amax(-1) > 0.05
    rows, columns = other.nonzero().unbind(-1)
    assert 0 < other.sum() <= 144 and rows.min() >= 18 and rows.max() < 32 and columns.min() >= 26
    if value == np.inf:
        assert frames[1].min() > 0.2, "a light leaves no black ring"


def test_a_light_too_bright_for_half_floats_is_written_as_their_brightest(tmp_path: Path) -> None:
    write_image(tmp_path / "1.exr", torch.full((8, 8, 3), 1e6))
    assert (read_clip(tmp_path / "%d.exr").frames - to_display(torch.tensor(65504.0))).abs().max() < 1e-3


def test_colors_of_an_exr_are_straight_once_read(tmp_path: Path) -> None:
    pixels = np.zeros((8, 16, 4))
    pixels[:, :8] = 0.5  # white, half transparent
    pixels[:, 12:, 0] = 0.3  # a glow without a surface
    write_pixels(tmp_path / "in" / "1.exr", pixels)
    frame = read_clip(tmp_path / "in").frames[0]
    assert torch.allclose(frame[:, :8], torch.tensor([1, 1, 1, 0.5]), atol=1e-3)
    assert torch.allclose(frame[:, 8:10, :3], torch.ones(()), atol=1e-3), "the subject's colour around it"
    assert torch.allclose(frame[:, 12:], to_display(torch.tensor([0.3, 0, 0, 0])), atol=1e-3)
    over_black = next(to_tensor(frame, alpha=False) for frame in iter_frames(tmp_path / "in"))
    assert torch.allclose(over_black[:, :8], to_display(torch.tensor(0.5)), atol=1e-3)


def test_faint_alpha_makes_no_infinite_colors(tmp_path: Path) -> None:
    pixels = np.full((8, 8, 4), 1e-38)
    pixels[..., :3] = 6e4
    write_pixels(tmp_path / "in" / "1.exr", pixels, np.float32)
    assert torch.isfinite(read_clip(tmp_path / "in").frames).all()


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """Two images of an orange disc with a soft rim over nothing, and a glow without a surface in a corner."""
    rows, columns = np.mgrid[: 48 * 8, : 64 * 8] / 8
    matte = ((rows - 24) ** 2 + (columns - 32) ** 2 < 15**2).reshape(48, 8, 64, 8).mean((1, 3))
    pixels = np.stack([matte * 0.8, matte * 0.4, matte * 0.2, matte], -1)
    pixels[:8, :8, 2] = 0.6
    for number in range(2):
        write_pixels(tmp_path / "in" / f"{number}.exr", pixels)
    return tmp_path / "in"


def test_the_rim_of_a_render_gets_no_dark_fringe(disc: Path) -> None:
    frame = doubled(disc, ".png")[0]
    subject = to_linear(frame[frame[..., 3] > 0.1][:, :3])
    assert (subject - torch.tensor([0.8, 0.4, 0.2])).abs().max() < 0.05


@pytest.mark.parametrize("suffix", [".png", ".exr"])
def test_a_glow_without_a_surface_stays(disc: Path, suffix: str) -> None:
    glow = doubled(disc, suffix)[0][2:12, 2:12]
    assert glow[..., 3].max() == 0 and (to_linear(glow[..., 2]) - 0.6).abs().max() < 0.06


def test_without_alpha_a_render_is_over_black(disc: Path) -> None:
    for suffix in (".png", ".exr"):
        frame = doubled(disc, suffix, "--no-alpha")[0]
        assert frame.shape[-1] == 3 and frame[40:56, :8].max() < 0.02
        glow, middle = to_linear(frame[6, 6, 2]).item(), to_linear(frame[48, 64, 0]).item()
        assert (glow, middle) == (pytest.approx(0.6, abs=0.02), pytest.approx(0.8, abs=0.02))


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_exr_to_exr_keeps_premultiplied_values(tmp_path: Path, kind: type) -> None:
    """Also light without a surface, and light brighter than its alpha."""
    rows = np.array([[0.5, 0.25, 0.0, 0.5], [0.7, 0.1, 0.2, 0.01], [0.3, 0.3, 0.3, 0.0]]).repeat(16, 0)
    pixels = rows[:, None].repeat(24, 1)
    write_pixels(tmp_path / "in" / "1.exr", pixels, kind)
    doubled(tmp_path / "in", ".exr")
    made = next(linear_pixels(frame) for frame in iter_frames(tmp_path / "out.exr"))
    for middle in (8, 24, 40):
        assert (made[2 * middle, 24] - torch.from_numpy(rows[middle])).abs().max() < 0.02


def test_straight_input_becomes_a_premultiplied_exr(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    frame = torch.ones(16, 16, 4)
    frame[:, :8, 3], frame[:, 8:, 3] = 0.5, 0
    write_image(tmp_path / "in" / "1.png", frame)
    doubled(tmp_path / "in", ".exr")
    made = next(linear_pixels(frame) for frame in iter_frames(tmp_path / "out.exr"))
    assert torch.allclose(made[16, 4], torch.tensor(0.5), atol=0.01)
    assert made[16, 28].abs().max() < 0.01, "what was hidden does not glow"
