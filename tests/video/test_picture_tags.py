"""Dates, timecodes, titles and languages of the picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import colors, write

from patchvsr_core.__main__ import main
from patchvsr_core.video import picture_tags
from patchvsr_core.video.picture_tags import WRITES_RATES, is_valid

DATE = "2020-05-05T10:00:00.000000Z"
PLACE = "com.apple.quicktime.location.ISO6709"


def from_a_camera(path: Path, timecode: str, fps: Fraction) -> Path:
    silent = write(path.with_name("silent.mp4"), colors(3, 24, 32), fps=fps)
    options = {"movflags": "use_metadata_tags"} if path.suffix == ".mp4" else {}
    with av.open(str(silent)) as source, av.open(str(path), "w", options=options) as target:
        video = target.add_stream_from_template(source.streams.video[0], opaque=True)
        video.metadata.update({"title": "A camera", "language": "deu", "timecode": timecode, "BPS": "12"})
        target.metadata.update({"creation_time": DATE, "title": "A film", PLACE: "+48.1+011.5/"})
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
    return path


def lower(tags: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in tags.items()}


@pytest.mark.skipif(not WRITES_RATES, reason="PyAV before 18 writes no timecode tracks")
@pytest.mark.parametrize("output", ["out.mov", "out.mp4", "out.mkv"])
@pytest.mark.parametrize(
    ("name", "timecode", "fps"),
    [("in.mp4", "01:00:00:00", Fraction(25)), ("in.mkv", "09:59:58;12", Fraction(30000, 1001))],
)
def test_what_a_camera_wrote_is_kept(tmp_path: Path, output: str, name: str, timecode: str, fps: Fraction) -> None:
    source = from_a_camera(tmp_path / name, timecode, fps)
    assert main(["upscale", str(source), str(tmp_path / output), "--fast", "dap", "--scale", "2"]) == 0
    with av.open(str(source)) as before, av.open(str(tmp_path / output)) as after:
        film, video = lower(after.metadata), lower(after.streams.video[0].metadata)
        old = lower(before.streams.video[0].metadata)
        assert (film["creation_time"], film["title"]) == (DATE, "A film")
        assert film.get(PLACE.lower()) == lower(before.metadata).get(PLACE.lower()) == "+48.1+011.5/"
        assert (video["timecode"], video["language"]) == (timecode, "ger" if output == "out.mov" else old["language"])
        assert video.get("title") == old.get("title") or output != "out.mkv"
        assert "bps" not in video
        tracks = [lower(stream.metadata).get("timecode") for stream in after.streams if stream.type == "data"]
    assert tracks == ([] if output == "out.mkv" else [timecode])


def test_a_timecode_that_cannot_be_does_not_stop_a_run(tmp_path: Path) -> None:
    source = from_a_camera(tmp_path / "in.mkv", "01:00:00:29", Fraction(25))
    assert main(["upscale", str(source), str(tmp_path / "out.mov"), "--fast", "dap", "--scale", "2"]) == 0
    assert not is_valid("01:00:00;10", Fraction(25)) and not is_valid("one", Fraction(25))


def test_a_timecode_that_is_lost_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """PyAV before 18 does not state the rate by which MP4 counts it."""
    monkeypatch.setattr(picture_tags, "WRITES_RATES", False)
    source = from_a_camera(tmp_path / "in.mkv", "01:00:00:00", Fraction(25))
    assert main(["upscale", str(source), str(tmp_path / "out.mp4"), "--fast", "dap", "--scale", "2"]) == 0
    assert "The timecode 01:00:00:00 is lost, as PyAV before 18 cannot write it" in caplog.text
