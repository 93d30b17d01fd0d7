"""The shape in which a player displays a result."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import colors, write

from patchvsr_core.__main__ import main
from patchvsr_core.video import Picture, probe


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov", "out"])
@pytest.mark.parametrize(
    ("size", "aspect"), [("128x72", Fraction(1)), ("144x96", Fraction(32, 27)), ("72x72", Fraction(16, 9))]
)
def test_the_displayed_shape_stays_with_another_size(tmp_path: Path, name: str, size: str, aspect: Fraction) -> None:
    source = write(tmp_path / "in.mp4", colors(2, 48, 72), picture=Picture(pixel_aspect=Fraction(32, 27)))
    out = tmp_path / name
    if not out.suffix:
        out.mkdir()
    assert main(["upscale", str(source), str(out), "--fast", "dap", "--size", size]) == 0
    if out.suffix:
        with av.open(str(out)) as container:
            stream = container.streams.video[0]
            shape = Fraction(stream.width, stream.height) * (stream.sample_aspect_ratio or 1)
            assert float(shape) == pytest.approx(16 / 9, rel=0.01)
    assert probe(out).picture.pixel_aspect == aspect


def test_pixels_that_had_to_change_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write(tmp_path / "in.mp4", colors(2, 48, 64))
    assert main(["upscale", str(source), str(tmp_path / "out.mp4"), "--fast", "dap", "--size", "96x96"]) == 0
    assert "Pixels of out.mp4 are 4:3, so that it is displayed in the shape of the input." in caplog.text
