"""The benchmarks of quality: pairs, seams, tables, pictures, ablations, as they are called."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from benchmark_calls import call
from clips import colors, write

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import ablations
import attention
import consistency
import dap_ablation
import dap_real
import pairs
import pictures
import quality
import realtime
import tables

from patchvsr_core.adapter import Adapter, AdapterConfig, BaseSpec
from patchvsr_core.hosts.diffusers.models import Models, load_models
from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.plan.planner import plan_patches
from patchvsr_core.realtime.dap import DAP
from patchvsr_core.resample import resize
from patchvsr_core.training.config import DataConfig
from patchvsr_core.training.packed import pack_footage


def test_pairs_are_cropped_and_in_whole_steps() -> None:
    truth, small = pairs.reduced(torch.rand(2, 50, 67, 3), 4)
    assert truth.shape == (2, 48, 64, 3) and small.shape == (2, 12, 16, 3)
    for frames in (truth, small):
        torch.testing.assert_close(frames * 255, (frames * 255).round(), atol=1e-4, rtol=0)
    torch.testing.assert_close(small, resize(truth, (12, 16)).clamp(0, 1), atol=0.5 / 255 + 1e-6, rtol=0)


def test_at_scale_one_a_clean_input_is_the_original() -> None:
    truth, small = pairs.reduced(torch.rand(1, 50, 67, 3), 1)
    assert torch.equal(truth, small)


@pytest.mark.parametrize("kind", [kind for kind in pairs.INPUTS if kind != "clean"])
def test_every_kind_of_damage_does_some(kind: str) -> None:
    clip = torch.rand(2, 64, 64, 3)
    truth, small = pairs.reduced(clip, 2, pairs.INPUTS[kind])
    clean_truth, clean = pairs.reduced(clip, 2)
    assert torch.equal(truth, clean_truth)
    assert small.shape == clean.shape and (small - clean).abs().mean() > 1e-3


def test_only_the_frames_asked_for_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", colors(6, 26, 34))
    assert pairs.first_frames(path, 4).shape == (4, 26, 34, 3)
    assert pairs.read_pair(path, 2, 100, "clean").small.shape == (6, 13, 17, 3)


def test_seams_are_found() -> None:
    plan = plan_patches(Canvas(1, (32, 48), (128, 192), 8, 1), patch_px=64, window_frames=1, overlap_frames=0)
    seamless = torch.rand(1, 128, 192, 3)
    assert quality.seam_ratio(seamless, seamless, plan) == pytest.approx(1)
    marked = seamless.clone()
    for patch in plan.patches:
        x = patch.origin[2] * 8
        marked[:, :, x : x + 32] += 0.5 * (x % 64 == 0)
    assert quality.seam_ratio(marked, seamless, plan) > 1.05


def test_tables_show_what_is_known() -> None:
    scores = {
        "one": {"bicubic": {"PSNR": 30.0, "MS-SSIM": math.nan}, "original": {"edges": 1.0}},
        "two": {"bicubic": {"PSNR": 32.0, "MS-SSIM": 0.9}, "original": {"edges": 1.0}},
    }
    table = quality.means_table("title", scores)
    assert table.heads == ("method", "PSNR", "MS-SSIM", "edges")
    assert table.rows == (("bicubic", "31.00", "0.9000", "-"), ("original", "-", "-", "1.000"))
    each = quality.psnr_table("title", scores, {"one": "a", "two": "b"})
    assert each.rows == (("one", "a", "30.00"), ("two", "b", "32.00"))
    assert tables.as_text(table).splitlines()[2] == "bicubic   31.00   0.9000      -"
    assert "| bicubic | 31.00 | 0.9000 | - |" in tables.as_markdown(table)


def test_the_sheet_has_a_row_for_every_clip() -> None:
    rng = np.random.default_rng(0)
    large, little = (rng.integers(0, 255, (*size, 3), dtype=np.uint8) for size in ((300, 400), (100, 500)))
    large[:, :200] = 128  # the right half is where detail is
    assert pictures.most_detailed(large)[1] >= 160
    sheet = pictures.contact_sheet({name: {"a": p, "original": p} for name, p in {"x": large, "y": little}.items()})
    assert sheet.shape == (2 * (pictures.CROP + 2 * pictures.BAR), 2 * pictures.CROP, 3)


def test_quality_as_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "clip.mp4", colors(2, 64, 80))
    call(
        quality, monkeypatch, path, "--scale", 2, "--input", "clean,noise", "--methods", "bicubic,default,detail 1",
        "--save", tmp_path / "out", "--markdown", tmp_path / "out" / "quality.md",
    )  # fmt: skip
    shown = capsys.readouterr().out
    text = (tmp_path / "out" / "quality.md").read_text(encoding="utf-8")
    for words in ("x2, clean input", "x2, noise input", "bicubic", "detail 1", "original", "80x64, 2 frames"):
        assert words in shown and words in text
    assert "python benchmarks/quality.py clip.mp4 --scale 2 --input clean,noise" in text
    assert str(tmp_path) not in text
    saved = {file.name for file in (tmp_path / "out").glob("*.png")}
    assert {
        "contact_sheet_x2_clean.png",
        "contact_sheet_x2_noise.png",
        "clip_compare.png",
        "clip_noise_compare.png",
    } <= saved


def test_an_unknown_method_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call(quality, monkeypatch, "clip.mp4", "--methods", "bicubic,magic")
    assert "'magic' is unknown" in capsys.readouterr().err


def test_ablations_as_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "clip.mp4", colors(2, 64, 64))
    call(ablations, monkeypatch, path, "--frames", 1, "--patch-px", 64, "--markdown", tmp_path / "ablations.md")
    shown, text = capsys.readouterr().out, (tmp_path / "ablations.md").read_text(encoding="utf-8")
    for words in ("patches of 64 px", "adapter off", "places shuffled", "base alone, 4 steps", "no LoRA (rank 0)"):
        assert words in shown and words in text
    assert "LoRA off" not in shown


def test_shuffled_places_are_other_places() -> None:
    plan = plan_patches(Canvas(9, (32, 32), (128, 128), 8, 1), patch_px=64, window_frames=4, overlap_frames=2)
    moved = ablations.moved(plan, plan.patches)
    assert all(
        a.origin[0] == b.origin[0] and a.origin[1:] != b.origin[1:] for a, b in zip(moved, plan.patches, strict=True)
    )
    assert {p.origin for p in moved} == {p.origin for p in plan.patches}


def test_lora_is_off_for_one_run_only(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = BaseSpec(channels=4, width=128, layers=1, ffn=64, text_dim=16)
    adapter = Adapter(AdapterConfig(spec, width=64, ffn=64, patch_blocks=1, global_blocks=0, lora_rank=2))
    weights = set(adapter.state_dict())
    models = replace(load_models("tiny", device="cpu"), adapter=adapter)
    seen: list[object] = []

    def record(small: torch.Tensor, size: tuple[int, int], models: Models) -> torch.Tensor:
        seen.append(models.adapter.lora if models.adapter else "no adapter")
        return small

    monkeypatch.setattr(ablations, "upscale", record)
    assert "LoRA off" in ablations.parts(models)
    ablations.without_lora(torch.zeros(1, 8, 8, 3), (8, 8), models)
    assert seen == [None]
    assert set(adapter.state_dict()) == weights and adapter.lora is not None


def test_consistency_as_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "clip.mp4", colors(3, 64, 80))
    file = tmp_path / "consistency.md"
    call(consistency, monkeypatch, path, "--scale", 2, "--frames", 3, "--window-frames", 2, "--markdown", file)
    shown, text = capsys.readouterr().out, file.read_text(encoding="utf-8")
    for words in ("clip, x2 to 80x64, 3 frames", "flow propagation 0.25", "2 steps, SAP lazy", "patch colours"):
        assert words in shown and words in text


def test_cost_of_attention_as_it_is_called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    call(attention, monkeypatch, "--px", 64, "--frames", 5, "--blocks", 1, "--rounds", 1)
    rows = {line.split("  ")[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert rows["off"][-2:] == ["1.00", "0.00"]
    assert rows["SAP"][-1] == "7.03", "both branches of one window at the real size"
    assert rows["SAP lazy"][-1] == "21.09", "two windows, and one that is made anew"


def test_speed_as_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = write(tmp_path / "clip.mp4", colors(5, 40, 48)), tmp_path / "speed.md"
    call(realtime, monkeypatch, path, "--size", 32, 40, "--frames", 2, "--default-frames", 1, "--markdown", file)
    shown, text = capsys.readouterr().out, file.read_text(encoding="utf-8")
    for words in ("40x32 to 160x128, float32 on cpu, 2 frames", "DAP 128", "with estimation", "tiny default"):
        assert words in shown and words in text
    rows = {line.split("  ")[0]: line.split() for line in shown.splitlines()}
    assert rows["bicubic"][-2] == "1.0"
    assert float(rows["DAP 128"][-2]) > 1


def test_offsets_find_motion_and_the_pyramid_finds_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """DAP's ablation on the toy set, as far as its offsets go: full > no pyramid > no offsets."""
    monkeypatch.setattr(dap_ablation, "toy_clips", lru_cache(None)(dap_ablation.toy_clips))  # all learn from the same
    errors = {}
    for name in ("full", "no pyramid", "no offsets"):
        torch.manual_seed(0)
        network = DAP(replace(dap_ablation.SMALL, **dap_ablation.ROWS[name]))
        dap_ablation.learn_offsets(network, 240)
        errors[name] = dap_ablation.misalignment(network)
    assert errors["full"] < 0.95 * errors["no pyramid"] < 0.8 * errors["no offsets"]


def test_parts_of_a_network_are_switched_off_one_by_one() -> None:
    """The rest of its weights stays; frames on their own have no motion to find."""
    torch.manual_seed(0)
    network = DAP(dap_real.SMALL).eval()
    for layer in network.offsets:
        torch.nn.init.normal_(layer[-1].weight, std=1.0)
    torch.nn.init.normal_(network.query.weight, std=10.0)  # so that attention does not look everywhere alike
    clip = torch.rand(1, 3, 3, 24, 24)
    pair = pairs.Pair("noise", torch.rand(3, 96, 96, 3), clip[0].movedim(1, -1))
    with torch.inference_mode():
        whole = network(clip)
        assert torch.equal(dap_real.switched(network, {})(clip), whole)
        for part in dap_real.PARTS:
            changed = dap_real.switched(network, {part: False})(clip)
            assert (changed[:, 1:] - whole[:, 1:]).abs().max() > 1e-6, part
    alone, first = dap_real.score(network, [pair], alone=True), dap_real.score(network, [pair])
    assert alone != first and dap_real.cut(pair, 48).small.shape == (3, 12, 12, 3)
    assert dap_real.ROWS["none"][0] == dap_real.NONE


def test_rows_of_the_ablation_are_trained_alike(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 120, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    pack_footage(tmp_path, tmp_path, DataConfig())
    one, again = (dap_real.train(dap_real.SMALL, tmp_path, 2).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not dap_real.train(replace(dap_real.SMALL, offsets=False), tmp_path, 1).config.offsets


def test_toy_clips_move_and_are_hidden_in_part() -> None:
    small, truth = dap_ablation.toy_clips(3, 5)
    assert truth.shape == (3, dap_ablation.FRAMES, 3, 128, 128) and small.shape[-1] == 32
    hidden = (small.sum(2) == 0).float().mean()
    assert 0.2 < hidden < 0.45
    again, _ = dap_ablation.toy_clips(3, 5)
    assert torch.equal(small, again)
    assert (truth[:, 1] - truth[:, 0]).abs().mean() > 0.02
