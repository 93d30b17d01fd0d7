"""The lens is as bad as it should be, where it should be; and positions are shuffled for the adapter alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import lens
from lens import VARIANTS, ZONES, distance, positions_shuffled, through_lens, zone_psnr


def test_distance_is_one_in_the_corners_of_any_shape() -> None:
    far = distance(31, 61)
    assert far[15, 30] == pytest.approx(0, abs=1e-6)
    assert far[[0, 0, -1, -1], [0, -1, 0, -1]] == pytest.approx(torch.ones(4))


def test_a_flat_picture_gets_darker_outward_alone() -> None:
    seen = through_lens(torch.full((1, 41, 41, 3), 0.5))[0]
    assert seen[20, 20] == pytest.approx(torch.full((3,), 0.5), abs=1e-4)
    assert seen[0, 0] == pytest.approx(torch.full((3,), 0.5 * (1 - lens.DARKER)), abs=1e-4)


def test_texture_is_kept_in_the_centre_and_blurred_in_the_corners() -> None:
    checks = (torch.arange(129)[:, None] + torch.arange(129)) % 2
    frames = checks.float()[None, :, :, None].expand(-1, -1, -1, 3)
    seen = through_lens(frames, darker=0.0)[..., 1]
    assert seen[0, 62:67, 62:67].std() > 0.45
    assert seen[0, :9, :9].std() < 0.05


def test_colours_part_towards_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lens, "FRINGE", 0.05)
    ramp = torch.linspace(0, 1, 101).expand(1, 101, 101)[..., None].expand(-1, -1, -1, 3)
    red, green, blue = through_lens(ramp, darker=0.0)[0, 50, 90]
    assert red < green < blue, "red is drawn outward, from where the ramp is darker"


def test_zones_are_measured_apart() -> None:
    truth = torch.full((1, 64, 96, 3), 100 / 255)
    wrong = torch.where((distance(64, 96) < 0.4)[..., None], truth + 10 / 255, truth + 20 / 255)
    scores = dict(zip(ZONES, zone_psnr(wrong, truth), strict=True))
    assert scores["centre"] == pytest.approx(28.13, abs=0.01)
    assert scores["corners"] == pytest.approx(22.11, abs=0.01)
    assert scores["corners"] < scores["whole picture"] < scores["centre"]


def test_shuffled_positions_are_those_of_other_patches_and_only_for_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from patchvsr_core.plan.canvas import Canvas
    from patchvsr_core.plan.planner import plan_patches

    canvas = Canvas(1, (32, 32), (128, 128))
    plan = plan_patches(canvas, patch_px=64)
    true, mask = plan.crop_positions(plan.patches), plan.locations(plan.patches, (8, 8))
    seen = []

    def look(*_: object) -> torch.Tensor:
        seen.append((plan.crop_positions(plan.patches), plan.locations(plan.patches, (8, 8))))
        return torch.zeros(1)

    monkeypatch.setattr(lens, "upscale", look)
    positions_shuffled("crop_positions")(torch.zeros(1), (8, 8), None)  # type: ignore[arg-type]
    crop, location = seen[0]
    assert not torch.equal(crop, true)
    assert sorted(map(tuple, crop.tolist())) == sorted(map(tuple, true.tolist()))
    assert torch.equal(location, mask)
    assert torch.equal(plan.crop_positions(plan.patches), true)


def test_variants_are_named_once() -> None:
    assert "all parts" in VARIANTS
    assert len(set(VARIANTS.values())) == len(VARIANTS)
