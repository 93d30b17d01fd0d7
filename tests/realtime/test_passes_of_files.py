"""Render passes on the command line, read with the chunks of a file; and multi-layer EXR files as input."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import write
from rendered import channels_of, frame_values, window, write_exr, write_shot
from small_models import random_dap, random_rdg
from torch import Tensor

from patchvsr_core.__main__ import main
from patchvsr_core.cli.realtime_engine import fast_engine
from patchvsr_core.realtime.dap import save_dap
from patchvsr_core.realtime.exr_passes import has_passes, open_passes, read_passes
from patchvsr_core.realtime.gbuffers import RenderPasses
from patchvsr_core.realtime.rdg import save_rdg
from patchvsr_core.realtime.upscaler import load_fast
from patchvsr_core.video import probe, read_clip
from patchvsr_core.video.exr_layers import shown_layer
from patchvsr_core.video.info import with_section
from patchvsr_core.video.reader import iter_frames, to_tensor

HEIGHT, WIDTH, FRAMES = 24, 40, 5


@pytest.fixture
def rdg(tmp_path: Path) -> Path:
    save_rdg(random_rdg(), tmp_path / "rdg.safetensors")
    return tmp_path / "rdg.safetensors"


@pytest.fixture
def render(tmp_path: Path) -> Path:
    """A folder of multi-layer files that libav alone cannot read: their picture is in a layer."""
    folder = tmp_path / "render"
    folder.mkdir()
    for index in range(FRAMES):
        write_exr(folder / f"{index + 7:04d}.exr", channels_of(frame_values(index, (HEIGHT, WIDTH))))
    return folder


def upscaled(source: Path, network: Path, *more: object) -> Tensor:
    output = source.with_name("out.mkv")
    arguments = ["upscale", source, output, "--fast", network, "--no-cuts", "--codec", "ffv1", "--depth", 10, *more]
    assert main([*map(str, arguments), "--no-alpha", "--device", "cpu", "--precision", "float32"]) == 0
    made = read_clip(output).frames
    output.unlink()
    return made


@pytest.mark.parametrize("chunk", [FRAMES, 2])
def test_a_file_in_chunks_gets_the_passes_of_the_whole_clip(render: Path, rdg: Path, chunk: int) -> None:
    frames, _, passes = read_passes(render)
    expected = load_fast(rdg).upscale(frames, passes=passes)
    video = write(render.with_name("in.mkv"), frames, codec="ffv1")
    eight_bits = read_clip(video).frames
    assert (upscaled(render, rdg, "--chunk-frames", chunk) - expected).abs().max() < 2e-3, "the input's own"
    beside = upscaled(video, rdg, "--passes", render, "--chunk-frames", chunk)
    assert (beside - load_fast(rdg).upscale(eight_bits, passes=passes)).abs().max() < 2e-3
    without = upscaled(render, rdg, "--passes", "none", "--chunk-frames", chunk)
    assert (without - load_fast(rdg).upscale(frames)).abs().max() < 2e-3
    assert (without - expected).abs().max() > 0.02, "passes matter"


def test_passes_that_do_not_fit_are_refused_in_a_sentence(
    render: Path, rdg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_dap(random_dap(), tmp_path / "dap.safetensors")
    short = write(tmp_path / "short.mkv", torch.rand(FRAMES - 1, HEIGHT, WIDTH, 3), codec="ffv1")
    small = write(tmp_path / "small.mkv", torch.rand(FRAMES, HEIGHT, WIDTH - 8, 3), codec="ffv1")
    for source, given, words in (
        (short, ["--fast", rdg], f"has the passes of {FRAMES} frames but the clip has {FRAMES - 1}"),
        (small, ["--fast", rdg], f"0007.exr is {WIDTH}x{HEIGHT} pixels, the clip {WIDTH - 8}x{HEIGHT}"),
        (short, [], "add --fast rdg, or leave --passes out"),
        (short, ["--fast", tmp_path / "dap.safetensors"], "choose --fast rdg, or leave --passes out"),
    ):
        arguments = ["upscale", source, tmp_path / "out.mkv", "--passes", render, *given, "--device", "cpu"]
        assert main([*map(str, arguments)]) != 0
        error = capsys.readouterr().err
        assert words in error and "Traceback" not in error, error


def test_other_passes_are_another_run(render: Path, rdg: Path) -> None:
    target = (4 * HEIGHT, 4 * WIDTH)
    names = {fast_engine(probe(render), target, str(rdg), "cpu", passes).identity for passes in (None, "none")}
    write_exr(render / "0008.exr", channels_of(frame_values(99, (HEIGHT, WIDTH))))
    names.add(fast_engine(probe(render), target, str(rdg), "cpu").identity)
    assert len(names) == 3
    assert fast_engine(probe(render), target, str(rdg), "cpu", "none").identity == load_fast(rdg).identity


def test_a_part_that_continues_a_shot_gets_the_motion_from_the_frame_before(render: Path) -> None:
    _, _, whole = read_passes(render)
    part = open_passes(render, (HEIGHT, WIDTH)).read(2, 2, continues=True)
    assert whole.flows and part.flows and torch.equal(part.flows.to_previous, whole.flows.to_previous[1:3])
    assert torch.equal(part.depth, whole.depth[2:4]) and torch.equal(part.albedo, whole.albedo[2:4])
    begin = open_passes(render, (HEIGHT, WIDTH)).read(2, 2, continues=False)
    assert begin.flows and torch.equal(begin.flows.to_previous, whole.flows.to_previous[2:3])
    assert isinstance(begin, RenderPasses) and torch.equal(begin.normal, whole.normal[2:4])


def test_a_part_of_a_clip_has_its_own_passes(render: Path, rdg: Path, tmp_path: Path) -> None:
    target, whole = (4 * HEIGHT, 4 * WIDTH), open_passes(render, (HEIGHT, WIDTH))
    video = write(tmp_path / "video.mkv", torch.rand(FRAMES, HEIGHT, WIDTH, 3), Fraction(24000, 1001), codec="ffv1")
    for info in (with_section(probe(clip), "1f", "3f") for clip in (render, video)):
        passes = fast_engine(info, target, str(rdg), "cpu", str(render)).passes
        assert passes is not None and passes.files == whole.files[1:3]


def plain(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(values["Combined"][..., index]) for index, name in enumerate("RGBA")}


@pytest.mark.parametrize("layered", [False, True])
def test_data_windows_that_differ_from_frame_to_frame_lie_in_the_display_window(tmp_path: Path, layered: bool) -> None:
    """A renderer writes what it rendered: all, less, or more than the picture."""
    windows = [(0, 0, HEIGHT, WIDTH), (5, 3, 10, 12), (-4, -2, HEIGHT + 4, WIDTH + 9), (-9, 35, 12, 40)]
    expected, depth = torch.zeros(4, HEIGHT, WIDTH, 3), torch.full((4, HEIGHT, WIDTH), torch.inf)
    for index, (top, left, height, width) in enumerate(windows):
        values = frame_values(index, (height, width))
        rows = slice(max(top, 0), min(top + height, HEIGHT))
        columns = slice(max(left, 0), min(left + width, WIDTH))
        inside = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        linear = torch.from_numpy(values["Combined"][inside][..., :3].copy()).clamp(0, 1)
        curve = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        expected[index, rows, columns] = curve
        depth[index, rows, columns] = torch.from_numpy(values["Depth"][inside][..., 0].copy())
        channels = channels_of(values) if layered else plain(values)
        data, display = window(top, left, height, width), window(0, 0, HEIGHT, WIDTH)
        write_exr(tmp_path / f"{index}.exr", channels, dataWindow=data, displayWindow=display)
    frames, _, passes = read_passes(tmp_path)
    assert (frames - expected).abs().max() < 1e-5
    assert passes.depth is None or torch.equal(passes.depth, depth)
    assert layered == (passes.depth is not None)
    over_black = torch.stack([to_tensor(frame, alpha=False) for frame in iter_frames(tmp_path)])
    assert (over_black.clamp(0, 1) - expected).abs().max() < 1e-5, "as input too"


def test_the_picture_of_a_file_with_several_layers(tmp_path: Path) -> None:
    write_shot(tmp_path, 1)
    assert shown_layer(tmp_path / "0001.exr") == "ViewLayer.Combined"
    assert shown_layer(write_exr(tmp_path / "plain.exr", plain(frame_values(0)))) == ""
    damaged = tmp_path / "damaged.exr"
    damaged.write_bytes((tmp_path / "0001.exr").read_bytes()[:40])
    assert shown_layer(damaged) == "" and shown_layer(tmp_path / "none.exr") == ""


def test_without_the_package_a_picture_with_layers_is_upscaled_as_before(
    render: Path, rdg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = (4 * HEIGHT, 4 * WIDTH)
    assert has_passes(render) and fast_engine(probe(render), target, str(rdg), "cpu").passes is not None
    monkeypatch.setattr("patchvsr_core.realtime.exr_passes.find_spec", lambda name: None)
    assert not has_passes(render) and fast_engine(probe(render), target, str(rdg), "cpu").passes is None
