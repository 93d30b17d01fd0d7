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
from patchvsr_core.srgb import to_display
from patchvsr_core.video import read_clip
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
