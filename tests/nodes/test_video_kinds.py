"""The stream matrix of test_faithful.py in Upscale Video: every kind of input comes out as on the command line."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import colors, write
from fakes.chain import a_clip
from faulty import bars, encode, overwrite, times_of, with_matrix
from streams import add_streams, other_facts

from patchvsr_core.video import Picture, VideoWriter, probe, read_clip
from patchvsr_core.video.timeline import scan


def upscaled(pack: Any, tiny: Any, path: Path, **changes: Any) -> tuple[Path, list[str]]:
    """The file that the node writes at the input's size, and what it shows."""
    from comfy_api.latest import InputImpl

    node = pack["UpscaleVideo"]
    given = {socket.id: socket.default for socket in node.GET_SCHEMA().inputs if socket.default is not None}
    given |= {"model": tiny.model, "vae": tiny.vae, "positive": tiny.prompt, "adapter": tiny.adapter}
    video = InputImpl.VideoFromFile(str(path))
    done = node.execute(**{**given, "video": video, "patch_px": 64, "scale": 1.0, "format": "mkv", **changes})
    return Path(done[0].get_stream_source()), list(done.ui.as_dict().get("text", ()))


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, 1)], ids=["turned", "mirrored"])
def test_pictures_are_upright(
    pack: Any, tiny: Any, places: Path, tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    plain = write(tmp_path / "in.mp4", colors(3, 32, 48))
    made, _ = upscaled(pack, tiny, with_matrix(plain, *matrix), detail=0.0, codec="ffv1")
    expected = read_clip(plain).frames
    expected = expected.flip(2) if matrix[0] else expected.transpose(1, 2).flip(2)
    shown = read_clip(made).frames
    assert shown.shape == expected.shape and (shown - expected).abs().median() < 0.02


@pytest.mark.parametrize("fields", ["auto", "field", "keep"])
def test_fields_become_frames_as_chosen(pack: Any, tiny: Any, places: Path, tmp_path: Path, fields: str) -> None:
    moments = [bars(k, 64, 64) for k in range(24)]
    woven = [np.where(np.arange(64)[:, None, None] % 2, b, a) for a, b in zip(moments[::2], moments[1::2], strict=True)]
    source = encode(tmp_path / "in.mkv", woven, interlaced="tff", sound="aac", options={"crf": "4"})
    made, shown = upscaled(pack, tiny, source, fields=fields)
    times = times_of(made)
    assert np.diff(times) == pytest.approx(0.02 if fields == "field" else 0.04, abs=2e-3)
    assert len(times) == (24 if fields == "field" else 12)
    assert any("is interlaced (top field first)" in text for text in shown) == (fields != "keep")
    offset = times_of(source)[0] - times_of(source, "audio")[0]
    assert times[0] - times_of(made, "audio")[0] == pytest.approx(offset, abs=0.01)
    with av.open(str(made)) as container:
        assert not any(frame.interlaced_frame for frame in container.decode(video=0))


@pytest.mark.parametrize("format", ["mkv", "mp4"])
def test_wide_pixels_variable_rates_and_held_frames_stay(
    pack: Any, tiny: Any, places: Path, tmp_path: Path, format: str
) -> None:
    times, picture = [0, 3, 4, 9, 10, 20], Picture(pixel_aspect=Fraction(16, 11))
    path = tmp_path / "in.mkv"
    with VideoWriter(path, (32, 48), times, Fraction(1, 30), fps=Fraction(30), picture=picture) as writer:
        writer.write(a_clip(6, 32, 48))
    made, shown = upscaled(pack, tiny, path, format=format)
    clip, timeline = read_clip(made), scan(made)
    assert [float(t * clip.time_base) for t in clip.timestamps] == pytest.approx([t / 30 for t in times], abs=1e-3)
    before = scan(path)
    held = float(before.last_duration * before.time_base)
    assert float(timeline.last_duration * timeline.time_base) == pytest.approx(held, abs=2e-3)
    assert probe(made).picture.pixel_aspect == Fraction(16, 11) and not shown


def test_what_is_left_of_a_damaged_file_keeps_its_timing(pack: Any, tiny: Any, places: Path, tmp_path: Path) -> None:
    frames = [bars(k, 32, 48) for k in range(40)]
    source = encode(tmp_path / "in.ts", frames, options={"x264-params": "keyint=8:scenecut=0"}, sound="mp2")
    whole = times_of(source)
    overwrite(source, 0.45, 0.6)
    made, shown = upscaled(pack, tiny, source)
    assert any("in.ts is truncated or damaged" in text for text in shown)
    kept = [round(time - times_of(made)[0], 2) for time in times_of(made)]
    assert len(kept) < 40 and set(kept) <= {round(time - whole[0], 2) for time in whole}


def test_other_streams_are_copied_byte_by_byte(pack: Any, tiny: Any, places: Path, tmp_path: Path) -> None:
    source = add_streams(write(tmp_path / "silent.mkv", colors(4, 32, 48)), tmp_path / "in.mkv", 2, True)
    made, shown = upscaled(pack, tiny, source)
    (kinds, packets, title), expected = other_facts(made), other_facts(source)
    assert kinds == expected[0] and packets == expected[1] and title == "A film" and not shown
