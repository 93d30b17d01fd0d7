"""What a run will cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from patchvsr_core.cli.timed_estimate import estimate
from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.stages import make_plan


def one_second_a_patch(monkeypatch: pytest.MonkeyPatch, *, adapter: float, base: float) -> None:
    """In place of measured seconds; all else takes none."""
    others = ("_codec_seconds", "_refiner_seconds", "_fidelity_seconds", "_base_layer_seconds")
    for name, value in (("_patch_seconds", (adapter, base)), *((name, 0.0) for name in others)):
        monkeypatch.setattr(f"patchvsr_core.cli.timed_estimate.{name}", lambda *_, value=value: value)


@pytest.mark.parametrize(
    ("changes", "runs"),
    [
        ({}, 15),
        ({"steps": 2}, 30),
        ({"guidance": 2.0}, 30),
        ({"steps": 4, "auxiliary_start": 0.3}, 3 * 6 + 15),
        ({"steps": 3, "solver": "heun"}, 5 * 15),
        ({"spatial_attention": True, "steps": 3}, 3 * (15 + 6)),
        ({"spatial_attention": True, "temporal_attention": True, "steps": 3}, 3 * 15 + 2 * 6),
        ({"spatial_attention": True, "lazy_attention": True}, 15),
    ],
)
def test_seconds_follow_the_runs_of_the_base(monkeypatch: pytest.MonkeyPatch, changes: dict, runs: int) -> None:
    """With every run of the base on a patch taking one second, and all else none."""
    one_second_a_patch(monkeypatch, adapter=0.0, base=1.0)
    models = load_models("tiny")
    settings = replace(models.defaults, base_layer="bicubic", patch_px=64, layout="corner", **changes)
    plan = make_plan(4, (64, 96), (128, 192), models, settings)
    assert (len(plan.patches), len(plan.primary)) == (15, 6)
    assert estimate(plan, models, settings).seconds == runs


def test_the_adapter_looks_at_every_place_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one_second_a_patch(monkeypatch, adapter=1.0, base=0.0)
    models = load_models("tiny")
    settings = replace(models.defaults, base_layer="bicubic", patch_px=64, layout="corner", steps=3)
    plan = make_plan(4, (64, 96), (128, 192), models, settings)
    assert estimate(plan, models, settings).seconds == 15


def test_from_noise_level_0_nothing_is_denoised_but_a_canvas_is_encoded_and_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one_second_a_patch(monkeypatch, adapter=1.0, base=1.0)
    monkeypatch.setattr("patchvsr_core.cli.timed_estimate._codec_seconds", lambda *_: 3.0)
    models = load_models("tiny")
    settings = replace(models.defaults, base_layer="bicubic", patch_px=64, start=0.0)
    found = estimate(make_plan(4, (64, 96), (128, 192), models, settings), models, settings)
    assert found.evaluations == 0 and found.seconds == pytest.approx(3)


@pytest.mark.parametrize("name", ["restorer", "dap"])
def test_without_patches_the_base_layer_takes_the_time(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    one_second_a_patch(monkeypatch, adapter=1.0, base=1.0)
    monkeypatch.setattr("patchvsr_core.cli.timed_estimate._base_layer_seconds", lambda *_: 2.0)
    models = load_models("tiny")
    settings = replace(models.defaults, base_layer=name, patch_px=64, layout="corner")
    plan = make_plan(4, (64, 96), (128, 192), models, settings)
    restoring = 2 * 4 * 128 * 192 / 1e6
    alone = estimate(plan, models, settings)
    assert alone.seconds == pytest.approx(restoring) and alone.evaluations == 0
    both = estimate(plan, models, replace(settings, patch_detail=0.5))
    assert both.seconds == pytest.approx(restoring + 2 * 15)
