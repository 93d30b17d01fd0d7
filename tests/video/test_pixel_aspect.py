"""The shape in which a player displays a result."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import colors, write

from patchvsr_core.__main__ import main
from patchvsr_core.video import Picture, probe


@pytest.mark.parametrize(
    "name", ["out.mp4", "out.mkv", "out.mov", "out.webm", "ffv1.mkv", "prores.mkv", "av1.webm", "out"]
)
@pytest.mark.parametrize(
    ("size", "aspect"), [("128x72", Fraction(1)), ("144x96", Fraction(32, 27)), ("72x72", Fraction(16, 9))]
)
def test_the_displayed_shape_stays_with_another_size(tmp_path: Path, name: str, size: str, aspect: Fraction) -> None:
    source = write(tmp_path / "in.mp4", colors(2, 48, 72), picture=Picture(pixel_aspect=Fraction(32, 27)))
    out = tmp_path / name
    codec = ["--codec", out.stem] if out.stem != "out" else []
    if not out.suffix:
        out.mkdir()
    assert main(["upscale", str(source), str(out), "--fast", "dap", "--size", size, *codec]) == 0
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


@pytest.mark.parametrize("title", ["", "A camera"])
def test_nothing_but_the_shape_changes_in_matroska(tmp_path: Path, title: str) -> None:
    """The header stays readable and true: ffprobe and libav check its sums, and the track keeps its name."""
    source = tmp_path / "in.mkv"
    silent = write(tmp_path / "silent.mp4", colors(2, 48, 72), picture=Picture(pixel_aspect=Fraction(32, 27)))
    with av.open(str(silent)) as given, av.open(str(source), "w") as target:
        video = target.add_stream_from_template(given.streams.video[0], opaque=True)
        if title:
            video.metadata["title"] = title
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
    assert main(["upscale", str(source), str(tmp_path / "out.mkv"), "--fast", "dap", "--scale", "2"]) == 0
    with av.open(str(tmp_path / "out.mkv"), options={"err_detect": "crccheck+explode"}) as container:
        stream = container.streams.video[0]
        assert stream.metadata.get("title", "") == title
        assert stream.sample_aspect_ratio == Fraction(32, 27)
        assert len([*container.decode(stream)]) == 2
    assert b"room for" not in (tmp_path / "out.mkv").read_bytes()
