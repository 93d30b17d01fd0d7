"""HDR stays HDR: its curve, its primaries, its metadata, its highlights."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from clips import colors, write

from patchvsr_core.__main__ import main
from patchvsr_core.resample import resize
from patchvsr_core.video import Picture, hdr, picture, probe, read_clip
from patchvsr_core.video.hdr import HLG, PQ, LightMetadata, read_light_metadata

P3_D65 = LightMetadata((34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 50, 10000000), (1000, 400))


def hdr_clip(path: Path, transfer: int, light: LightMetadata = LightMetadata(), **choices: Any) -> Path:
    frames = colors(3, 64, 64)
    frames[:, 40:, 40:] = 1.0  # the brightest light that the curve has
    picture = Picture(depth=10, matrix=9, primaries=9, transfer=transfer, light=light)
    return write(path, frames, picture=picture, crf=4, **choices)


def upscale(source: Path, output: Path, *choices: str) -> int:
    return main(["upscale", str(source), str(output), "--fast", "dap", "--scale", "2", "--crf", "4", *choices])


def linear(coded: torch.Tensor, transfer: int) -> torch.Tensor:
    """Light from code values, 1 at the peak (SMPTE ST 2084, ITU-R BT.2100)."""
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return torch.where(coded <= 0.5, coded**2 / 3, (((coded - c) / a).exp() + b) / 12)
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    root = coded.clamp(0, 1) ** (1 / m2)
    return ((root - c1).clamp(min=0) / (c2 - c3 * root)) ** (1 / m1)


@pytest.mark.parametrize(
    ("output", "codec", "written"),
    [
        ("out.mp4", "auto", "hevc"),
        ("out.mkv", "auto", "hevc"),
        ("out.mov", "prores", "prores"),
        ("out.webm", "auto", "av1"),
        ("out.mp4", "av1", "av1"),
    ],
)
@pytest.mark.parametrize(("transfer", "light"), [(PQ, P3_D65), (HLG, LightMetadata())], ids=["PQ", "HLG"])
def test_hdr_is_upscaled_in_its_own_curve(
    tmp_path: Path, output: str, codec: str, written: str, transfer: int, light: LightMetadata
) -> None:
    source = hdr_clip(tmp_path / "in.mp4", transfer, light, codec="hevc")
    assert probe(source).picture == Picture(depth=10, matrix=9, primaries=9, transfer=transfer, light=light)
    assert upscale(source, tmp_path / output, *(["--codec", codec] if codec != "auto" else [])) == 0
    with av.open(str(tmp_path / output)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.codec.canonical_name == written
        context = stream.codec_context
        assert (context.color_trc, context.color_primaries, context.colorspace) == (transfer, 9, 9)
        assert "10" in context.pix_fmt
    result, original = read_clip(tmp_path / output), read_clip(source)
    found = result.info.picture.light
    assert found.levels == light.levels
    if light.display:
        assert found.display == pytest.approx(light.display, abs=40, rel=1e-3)
    small = resize(result.frames, (64, 64))
    assert (small - original.frames).abs().median() < 2 / 255
    assert result.frames[:, 100:, 100:].median() > 0.995, "highlights are not clipped"


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_light_is_as_faithful_as_that_of_sdr(tmp_path: Path, transfer: int) -> None:
    """The same code values as HDR and as SDR, measured in the light of the HDR curve."""
    mistakes = []
    for name, tags in (("hdr", {"matrix": 9, "primaries": 9, "transfer": transfer}), ("sdr", {})):
        source = tmp_path / f"{name}.mp4"
        write(source, colors(3, 64, 64), picture=Picture(depth=10, **tags), crf=4, codec="hevc")
        assert upscale(source, tmp_path / f"{name}.mkv", "--codec", "hevc") == 0
        small = resize(read_clip(tmp_path / f"{name}.mkv").frames, (64, 64)).clamp(0, 1)
        mistake = linear(small, transfer) - linear(read_clip(source).frames, transfer)
        mistakes.append((mistake**2).mean().sqrt())
    assert mistakes[0] < 1.1 * mistakes[1] + 1e-3


def test_containers_have_the_metadata_of_what_cannot_hold_it(tmp_path: Path) -> None:
    """ProRes has no place for it: only the container's header can keep it."""
    source = hdr_clip(tmp_path / "in.mp4", PQ, P3_D65, codec="hevc")
    assert upscale(source, tmp_path / "out.mov", "--codec", "prores") == 0
    film = (tmp_path / "out.mov").read_bytes()
    assert film.count(b"mdcv") == film.count(b"clli") == 1
    assert probe(tmp_path / "out.mov").picture.light == P3_D65


@pytest.mark.parametrize(("transfer", "light"), [(PQ, P3_D65), (HLG, LightMetadata(levels=(900, 300)))])
def test_lossless_files_keep_hdr_and_are_hdr_when_they_are_read(
    tmp_path: Path, transfer: int, light: LightMetadata, caplog: pytest.LogCaptureFixture
) -> None:
    """FFV1 stores RGB and has no place for metadata, which is in Matroska's header."""
    source = hdr_clip(tmp_path / "in.mp4", transfer, light, codec="hevc")
    assert upscale(source, tmp_path / "out.mkv", "--codec", "ffv1") == 0
    expected = Picture(depth=10, matrix=9, primaries=9, transfer=transfer, light=light)
    assert probe(tmp_path / "out.mkv").picture == expected and not caplog.text
    assert upscale(tmp_path / "out.mkv", tmp_path / "again.mp4") == 0
    assert probe(tmp_path / "again.mp4").picture == expected
    small = resize(read_clip(tmp_path / "again.mp4").frames, (64, 64))
    assert (small - read_clip(source).frames).abs().median() < 2 / 255


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        (["--codec", "h264"], "The input is HDR, which h264 does not support here; use hevc, av1, prores, ffv1."),
        (["--depth", "8"], "The input is HDR, which needs 10 bits; leave out --depth 8."),
    ],
)
def test_what_cannot_hold_hdr_is_refused_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], choices: list[str], said: str
) -> None:
    source = hdr_clip(tmp_path / "in.mp4", HLG, codec="hevc")
    assert upscale(source, tmp_path / "out.mp4", *choices) == 2
    assert said in capsys.readouterr().err
    (tmp_path / "images").mkdir()
    assert upscale(source, tmp_path / "images") == 2
    assert "The input is HDR, which images do not hold here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("side_data", "name"),
    [("DOVI_RPU_BUFFER", "Dolby Vision"), ("DOVI_METADATA", "Dolby Vision"), ("DYNAMIC_HDR_PLUS", "HDR10+")],
)
def test_dynamic_metadata_is_dropped_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, side_data: str, name: str
) -> None:
    monkeypatch.setattr(hdr, "read_side_data", lambda frame: {side_data: b""})
    frame: Any = None
    light = read_light_metadata(frame)
    assert light == LightMetadata(dynamic=name)
    source = hdr_clip(tmp_path / "in.mp4", HLG, codec="hevc")
    monkeypatch.setattr(picture, "read_light_metadata", lambda frame: light)
    assert upscale(source, tmp_path / "out.mp4") == 0
    assert f"The {name} metadata of in.mp4 is dropped; its base layer is upscaled." in caplog.text


def test_dolby_vision_without_a_base_layer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in.mp4", colors(2, 64, 64), picture=Picture(depth=10, transfer=2, primaries=2, matrix=1))
    monkeypatch.setattr(picture, "read_light_metadata", lambda frame: LightMetadata(dynamic="Dolby Vision"))
    assert upscale(source, tmp_path / "out.mp4") == 2
    assert "in.mp4 is Dolby Vision without a base layer" in capsys.readouterr().err


def test_unknown_display_metadata_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    data = struct.pack("=22i", *range(20), 1, 0)
    monkeypatch.setattr(hdr, "read_side_data", lambda frame: {"MASTERING_DISPLAY_METADATA": data})
    frame: Any = None
    assert read_light_metadata(frame) == LightMetadata()
