"""Patches that are skipped: which ones, when, and what stands in for them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from patchvsr_core.errors import PlanError
from patchvsr_core.hosts.diffusers.models import Models, load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.plan.canvas import Canvas, PatchPlan
from patchvsr_core.plan.planner import plan_patches
from patchvsr_core.sampling.joint_modulation import fuse
from patchvsr_core.sampling.patch_skipping import PatchSkipping, StaticPatches, find_static_patches

SIGMA = torch.tensor(0.7)


@pytest.fixture(scope="module")
def tiny() -> Models:
    return load_models("tiny")


def noisy(*shape: int) -> Tensor:
    return torch.rand(*shape, 3, generator=torch.Generator().manual_seed(0))


def four_patches(frames: int = 4) -> PatchPlan:
    canvas = Canvas(frames, (32, 32), (128, 128))
    return plan_patches(canvas, patch_px=64, layout="alternating", window_frames=4, overlap_frames=0)


def test_flat_and_still_are_told_apart() -> None:
    """Quarters: flat and still, flat but flickering, textured but still, textured and moving."""
    frames = torch.full((4, 64, 64, 3), 0.5)
    frames[:, :32, 32:] += torch.tensor([0.0, 0.1, 0.0, 0.1]).view(4, 1, 1, 1)
    frames[:, 32:, :32] = noisy(1, 32, 32)
    frames[:, 32:, 32:] = noisy(4, 32, 32)
    plan = plan_patches(
        Canvas(4, (64, 64), (256, 256)), patch_px=64, layout="alternating", window_frames=4, overlap_frames=0
    )
    static = find_static_patches(frames, plan)
    corner = {(y, x): (0, 24 * y, 24 * x) for y in (0, 1) for x in (0, 1)}
    assert corner[0, 0] in static.flat & static.still
    assert corner[0, 1] in static.flat - static.still
    assert corner[1, 0] in static.still - static.flat
    assert corner[1, 1] not in static.flat | static.still


@pytest.mark.parametrize("place", [(0, 0), (13, 20), (31, 31)])
def test_one_speck_wakes_every_patch_that_shows_it(place: tuple[int, int]) -> None:
    frames = torch.zeros(2, 32, 32, 3)
    frames[1, place[0], place[1]] = 1.0
    plan = four_patches(2)
    static = find_static_patches(frames, plan)
    for patch in plan.patches:
        _, y, x = (4 * n // 2 for n in patch.origin)
        shows = y <= place[0] < y + 16 and x <= place[1] < x + 16
        if shows:
            assert patch.origin not in static.flat | static.still


def test_rounding_to_8_bits_is_no_detail() -> None:
    ramp = torch.linspace(0.40, 0.41, 32).expand(2, 32, 32).unsqueeze(-1).repeat(1, 1, 1, 3)
    static = find_static_patches((ramp * 255).round() / 255, four_patches(2))
    assert len(static.flat) == len({p.origin for p in four_patches(2).patches})


def test_bars_as_high_as_a_patch_and_its_reach_rest() -> None:
    """Those of a film of 2.39:1 on 3840x2160: 69 rows of the input, where a patch shows 64 and 2 more."""
    frames = torch.zeros(1, 540, 960, 3)
    frames[:, 69:471] = noisy(1, 402, 960)
    plan = plan_patches(Canvas(1, (540, 960), (2160, 3840)), patch_px=256, layout="overlapping")
    flat = find_static_patches(frames, plan).flat
    rows = {y for _, y, _ in (p.origin for p in plan.patches)}
    assert {y for _, y, _ in flat} == {min(rows), max(rows)}
    frames[:, 64] = 0.5
    assert {y for _, y, _ in find_static_patches(frames, plan).flat} == {max(rows)}


def test_temporal_windows_are_looked_at_one_by_one() -> None:
    frames = torch.zeros(8, 32, 32, 3)
    frames[4:] = noisy(4, 32, 32)
    plan = plan_patches(Canvas(8, (32, 32), (64, 64)), patch_px=64, window_frames=4, overlap_frames=0)
    assert [p.origin in find_static_patches(frames, plan).flat for p in plan.patches] == [True, False]


def test_skipped_patches_keep_what_was_there() -> None:
    plan = four_patches()
    every = frozenset(p.origin for p in plan.primary)
    skipping = PatchSkipping(StaticPatches(every, frozenset()), interval=2, steps=4)
    x = torch.randn(1, 3, *plan.canvas.latent_shape)
    calls = []

    def model(x: Tensor, sigma: Tensor, control: object) -> list[Tensor]:
        calls.append(len(x))
        return [x * len(calls), x - len(calls)]

    steps = [fuse(model, x, SIGMA, plan.primary, list, skip_policy=skipping, step=step) for step in range(4)]
    assert len(calls) == 3 * len(plan.primary), "all but the second step"
    torch.testing.assert_close(steps[1], steps[0])
    assert not torch.allclose(steps[2][0], steps[0][0])


def test_from_the_input_flat_patches_never_run() -> None:
    plan = four_patches()
    flat = plan.primary[0].origin
    latent = torch.randn(1, 3, *plan.canvas.latent_shape)
    skipping = PatchSkipping(StaticPatches(frozenset([flat]), frozenset()), interval=2, steps=1, upsampled=[latent])
    seen, done = [], []

    def model(x: Tensor, sigma: Tensor, control: list) -> list[Tensor]:
        seen.extend(p.origin for p in control)
        return [torch.zeros_like(x)]

    fused = fuse(
        model, latent, SIGMA, plan.primary, list, skip_policy=skipping, on_patches=lambda n, of: done.append((n, of))
    )[0]
    assert flat not in seen and len(seen) == len(plan.primary) - 1
    torch.testing.assert_close(plan.primary[0].crop(fused), plan.primary[0].crop(latent))
    assert plan.primary[1].crop(fused).abs().max() == 0
    assert done[0] == (1, len(plan.primary)) and done[-1] == (len(plan.primary), len(plan.primary))


def test_what_is_reused_lies_where_the_base_works() -> None:
    """Inside ComfyUI the upsampled input lies in main memory, and the state of a run on the GPU."""
    plan, latent = four_patches(), torch.randn(1, 3, *four_patches().canvas.latent_shape)
    skipping = PatchSkipping(StaticPatches(frozenset(), frozenset()), interval=2, steps=1, upsampled=[latent])
    meta = torch.device("meta")
    assert skipping.reuse(plan.primary, meta)[0].device == meta


def letterboxed() -> Tensor:
    """Bars above and below a moving picture."""
    frames = torch.zeros(2, 80, 48, 3)
    frames[:, 36:44] = noisy(2, 8, 48)
    return frames


def test_bars_are_not_run_and_the_picture_is_the_same(tiny: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    from patchvsr_core.hosts.diffusers.denoiser import DiffusersDenoiser

    original, ran = DiffusersDenoiser.__call__, []
    monkeypatch.setattr(
        DiffusersDenoiser, "__call__", lambda self, x, *rest: ran.append(len(x)) or original(self, x, *rest)
    )
    settings = replace(tiny.defaults, base_layer="bicubic", patch_px=64)
    whole = upscale(letterboxed(), (320, 192), tiny, settings)
    patches, ran[:] = sum(ran), []
    spared = upscale(letterboxed(), (320, 192), tiny, replace(settings, skip_interval=2))
    assert sum(ran) <= 0.7 * patches
    assert (whole - spared)[:, 150:170].abs().max() < 1 / 255
    assert spared[:, :120].abs().mean() < whole[:, :120].abs().mean() + 1e-4


def test_skipping_and_attention_propagation_exclude_each_other(tiny: Models) -> None:
    settings = replace(
        tiny.defaults, base_layer="bicubic", patch_px=64, steps=2, skip_interval=2, spatial_attention=True
    )
    with pytest.raises(PlanError, match="patch skipping to 1"):
        upscale(letterboxed(), (192, 192), tiny, settings)


def test_skipping_over_several_steps_stays_close(tiny: Models) -> None:
    still = noisy(1, 24, 24).expand(3, -1, -1, -1).contiguous()
    settings = replace(tiny.defaults, base_layer="bicubic", patch_px=64, steps=4)
    full = upscale(still, (96, 96), tiny, settings)
    for every in (2, 3):
        spared = upscale(still, (96, 96), tiny, replace(settings, skip_interval=every))
        assert not torch.equal(full, spared)
        assert (full - spared).square().mean().sqrt() < 2 / 255
