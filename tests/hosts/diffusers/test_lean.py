"""What does not change from step to step is computed once, and a step never waits for the GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from small_models import random_adapter, random_wan, save
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from patchvsr_core.adapter import Adapter, BaseSpec
from patchvsr_core.hosts.diffusers.denoiser import DiffusersDenoiser
from patchvsr_core.hosts.diffusers.loading import load_base
from patchvsr_core.hosts.diffusers.models import Models, load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.plan.canvas import Canvas, PatchPlan
from patchvsr_core.plan.planner import plan_patches
from patchvsr_core.run.cost import patch_bytes
from patchvsr_core.run.memory import ENOUGH_TOKENS, patches_together
from patchvsr_core.sampling import conditions as conditions_module
from patchvsr_core.sampling.conditions import Controls
from patchvsr_core.sampling.input_guidance import guide_low_frequencies
from patchvsr_core.sampling.joint_modulation import fuse
from patchvsr_core.sampling.solvers import SOLVERS, apply_guidance, sigma_schedule


@pytest.fixture(scope="module")
def tiny() -> Models:
    return load_models("tiny", precision="float32")


def clip() -> Tensor:
    return torch.rand(2, 24, 40, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many patches the adapter was shown, call by call."""
    original, seen = Adapter.features, []

    def counted(self: Adapter, condition: Tensor, *rest: Any, **named: Any) -> Any:
        seen.append(len(condition))
        return original(self, condition, *rest, **named)

    monkeypatch.setattr(Adapter, "features", counted)
    return seen


def test_the_adapter_looks_at_a_patch_once(tiny: Models, looked_at: list[int]) -> None:
    settings = replace(tiny.defaults, base_layer="bicubic", patch_px=64, layout="corner", steps=3)
    upscale(clip(), (96, 160), tiny, settings)
    assert sum(looked_at) == 3 * 5
    looked_at.clear()
    upscale(clip(), (96, 160), tiny, replace(settings, layout="alternating"))
    assert sum(looked_at) < 3 * (2 * 3 + 3 * 4), "places that both grids share are looked at once"


def test_what_does_not_fit_is_made_anew(tiny: Models, looked_at: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(tiny.defaults, base_layer="bicubic", patch_px=64, layout="corner", steps=3, patches_at_once=2)
    kept = upscale(clip(), (96, 160), tiny, settings)
    looked_at.clear()
    monkeypatch.setattr(conditions_module, "free_bytes", lambda device: 2 * 10**6)
    part = upscale(clip(), (96, 160), tiny, settings)
    assert 15 < sum(looked_at) < 45
    looked_at.clear()
    monkeypatch.setattr(conditions_module, "free_bytes", lambda device: 0)
    none = upscale(clip(), (96, 160), tiny, settings)
    assert sum(looked_at) == 45
    torch.testing.assert_close(part, kept, atol=1e-5, rtol=0)
    torch.testing.assert_close(none, kept, atol=1e-5, rtol=0)


def small_controls() -> tuple[Controls, PatchPlan]:
    plan = plan_patches(Canvas(3, (24, 40), (96, 160)), patch_px=64)
    adapter = random_adapter(BaseSpec(16, 128, 2, 192, 64))
    latent = torch.randn(1, 16, *plan.canvas.latent_shape)
    view = torch.randn(1, 16, plan.canvas.latent_frames, *plan.patch_size[1:])
    return Controls(plan, latent, view=view, adapter=adapter, noise_level=0.2), plan


@torch.no_grad()
def test_kept_features_come_back_for_the_patch_they_belong_to() -> None:
    controls, plan = small_controls()
    fresh = [controls([patch], again=False) for patch in plan.patches]
    controls(plan.patches)
    mixed = [plan.patches[n] for n in (5, 0, 3)]
    again = controls(mixed)
    for row, n in enumerate((5, 0, 3)):
        torch.testing.assert_close(again.residual(1)[row], fresh[n].residual(1)[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(again.global_kv(1)[1][row], fresh[n].global_kv(1)[1][0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(again.anchor[row], fresh[n].anchor[0])
    assert not torch.allclose(fresh[5].residual(1), fresh[0].residual(1), atol=1e-3)


@torch.no_grad()
def test_what_is_kept_can_be_forgotten(looked_at: list[int]) -> None:
    controls, plan = small_controls()
    controls(plan.patches[:2])
    controls(plan.patches[:2])
    assert looked_at == [2]
    controls.clear_cache()
    controls(plan.patches[:2])
    assert looked_at == [2, 2]
    assert controls(plan.patches[:2], adapted=False).residual(0) is None and looked_at == [2, 2]


@torch.no_grad()
def test_keys_and_values_of_the_text_are_made_once_a_prompt(tmp_path) -> None:
    base = load_base(save(random_wan(), tmp_path / "wan.safetensors"))
    prompts = [torch.randn(1, 5, 64), torch.randn(1, 5, 64)]
    x = torch.randn(3, 16, 2, 8, 6)
    calls: list[int] = []
    projection = base.transformer.blocks[1].attn2.to_k
    hook = projection.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    answers = {}
    for keep in (False, True):
        denoiser = DiffusersDenoiser(base, prompts, keep_text=keep)
        calls.clear()
        answers[keep] = [denoiser(x, torch.tensor(sigma), None) for sigma in (0.9, 0.5, 0.1)]
        denoiser.close()
        assert calls == [1] * (2 if keep else 6)
    hook.remove()
    for once, anew in zip(answers[True], answers[False], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(once, anew, strict=True))
    changed = DiffusersDenoiser(base, [prompts[1]], keep_text=True)
    torch.testing.assert_close(changed(x, torch.tensor(0.9), None)[0], answers[True][0][1])
    changed.close()


def plan_of(patch_px: int, frames: int) -> PatchPlan:
    return plan_patches(Canvas(frames, (540, 960), (2160, 3840), stride_frames=4), patch_px=patch_px)


def test_patches_together_follow_memory_and_use(tiny: Models) -> None:
    plan, gpu = plan_of(512, 81), torch.device("cuda")
    needed = patch_bytes(plan, tiny.base.spec, 2)
    assert patches_together(plan, needed, torch.device("cpu"), 10**15) == 1
    assert patches_together(plan_of(256, 1), needed, torch.device("cpu"), 10**15) == 8
    assert patches_together(plan, needed, gpu, 0) == 1
    assert patches_together(plan, needed, gpu, 3 * needed) == 1
    assert patches_together(plan, needed, gpu, 4 * needed) == 2
    assert patches_together(plan, needed, gpu, 10**15) == ENOUGH_TOKENS // (21 * 32 * 32) == 3
    assert patches_together(plan_of(256, 5), needed, gpu, 10**15) == ENOUGH_TOKENS // (2 * 16 * 16)


def test_the_estimate_of_a_patch_covers_what_a_run_allocates(tiny: Models) -> None:
    plan = plan_patches(Canvas(8, (32, 32), (128, 128)), patch_px=128, window_frames=8, overlap_frames=2)
    controls = Controls(plan, torch.zeros(1, 192, *plan.canvas.latent_shape), adapter=tiny.adapter)
    denoiser = DiffusersDenoiser(tiny.base, [tiny.prompt], tiny.adapter)
    with torch.inference_mode():
        control = controls(plan.patches, again=False)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            denoiser(controls.clean, torch.tensor(1.0), control)
    denoiser.close()
    alive = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            peak = max(peak, alive)
    assert peak < patch_bytes(plan, tiny.base.spec, 4) < 2 * peak


class NothingIsSent(TorchDispatchMode):
    """Raises when anything is copied from main memory: the copy would wait for all that the device has to do."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in (torch.ops.aten.to, torch.ops.aten._to_copy, torch.ops.aten.copy_):
            source = args[1] if func.overloadpacket is torch.ops.aten.copy_ else args[0]
            assert source.device == result.device, f"{tuple(source.shape)} was sent"
        return result


def test_a_step_asks_nothing_of_the_gpu(tmp_path) -> None:
    """On the meta device, which has no numbers: whatever waits for one (item, a comparison, a copy back) raises.

    And after a first run, which brings weights of patches and features there, nothing is sent.
    """
    meta = torch.device("meta")
    base = load_base(save(random_wan(), tmp_path / "wan.safetensors"))
    adapter = random_adapter(base.spec, liem="star").to(meta)
    base.transformer.to(meta)
    plan = plan_patches(Canvas(9, (24, 40), (96, 160), stride_frames=4), patch_px=64, layout="alternating")
    latent = torch.empty(1, 16, *plan.canvas.latent_shape, device=meta)
    view = torch.empty(1, 16, plan.canvas.latent_frames, *plan.patch_size[1:], device=meta)
    controls = Controls(plan, latent, view=view, adapter=adapter)
    prompts = [torch.empty(1, 5, 64, device=meta)] * 2
    denoiser = DiffusersDenoiser(base, prompts, adapter, keep_text=True)

    def model(x: Tensor, sigma: Tensor, step: int) -> Tensor:
        patches = plan.at_step(step)
        predictions = fuse(denoiser, x, sigma, patches, controls, patches_at_once=2, step=step)
        x0 = apply_guidance(predictions, 3.0, 0.2, x)
        return guide_low_frequencies(x0, latent, sigma, strength=0.5, start=1.0)

    with torch.inference_mode():
        for solver in (one for one in SOLVERS.values() if not one.seeded):  # noise is drawn on the CPU, and sent
            assert solver.solve(model, latent, sigma_schedule(3, shift=5.0), None).device == meta
            with NothingIsSent():
                solver.solve(model, latent, sigma_schedule(3, shift=5.0), None)
        with pytest.raises(RuntimeError):
            latent.sum().item()
        with pytest.raises(AssertionError, match="was sent"), NothingIsSent():
            torch.ones(3).to(meta)
