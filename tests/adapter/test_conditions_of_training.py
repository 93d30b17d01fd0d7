"""An adapter is trained in the conditions in which it runs, and these are the paper's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_models import random_adapter

from patchvsr_core.adapter import AdapterConfig, BaseSpec, MicroConditions, load_adapter
from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.plan import Canvas, plan_patches
from patchvsr_core.sampling.conditions import Controls
from patchvsr_core.settings import WAN, Settings
from patchvsr_core.stages import set_up_run
from patchvsr_core.stages.setup import make_plan
from patchvsr_core.training.conditions import noised_view
from patchvsr_core.training.config import FlowObjective, load_config
from patchvsr_core.vae.encode import augment_noise, encode_canvas, noise_pixels
from patchvsr_core.weights import shipped

BASE = BaseSpec(16, 128, 2, 192, 64)
TAU = 0.25


def latents(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    plan = plan_patches(Canvas(3, (24, 40), (96, 160)), patch_px=64)
    canvas = torch.randn(1, 16, *plan.canvas.latent_shape, generator=generator)
    return canvas, torch.randn(1, 16, plan.canvas.latent_frames, *plan.patch_size[1:], generator=generator)


def controls(noised: bool, level: float = TAU) -> tuple[Controls, torch.Tensor]:
    plan = plan_patches(Canvas(3, (24, 40), (96, 160)), patch_px=64)
    latent, view = latents()
    adapter = random_adapter(BASE, noised_view=noised)
    augmented = augment_noise(latent, level, 7)
    return Controls(plan, latent, augmented=augmented, view=view, adapter=adapter, noise_level=level, seed=7), view


def test_in_a_run_the_view_gets_the_noise_of_the_condition_and_draws_its_own() -> None:
    """(1 - tau) z + tau eps, with an eps of its own."""
    made, view = controls(noised=True)
    assert made.view is not None
    noise = (made.view - (1 - TAU) * view) / TAU
    assert abs(float(noise.mean())) < 0.1 and abs(float(noise.std()) - 1) < 0.1
    of_condition = (made.augmented - (1 - TAU) * made.clean) / TAU
    shared = min(noise.numel(), of_condition.numel())
    together = torch.stack([noise.flatten()[:shared], of_condition.flatten()[:shared]])
    assert abs(float(torch.corrcoef(together)[0, 1])) < 0.1
    again, _ = controls(noised=True)
    assert again.view is not None and torch.equal(again.view, made.view), "the seed decides"
    clean, _ = controls(noised=True, level=0.0)
    assert clean.view is not None and torch.equal(clean.view, view)


def test_adapters_from_before_keep_a_clean_view() -> None:
    made, view = controls(noised=False)
    assert made.view is view
    assert not AdapterConfig(BASE).noised_view
    assert not load_adapter(shipped("tiny_adapter.safetensors")).config.noised_view


@pytest.mark.parametrize("noised", [True, False])
def test_in_training_too(noised: bool) -> None:
    _, view = latents()
    adapter, generator = random_adapter(BASE, noised_view=noised), torch.Generator().manual_seed(3)
    before = generator.get_state()
    made = noised_view(adapter, view, TAU, generator)
    if not noised:
        assert made is view and torch.equal(generator.get_state(), before), "what is drawn after it stays as it was"
        return
    noise = (made - (1 - TAU) * view) / TAU
    assert abs(float(noise.mean())) < 0.1 and abs(float(noise.std()) - 1) < 0.1


@pytest.mark.parametrize("name", ["wan21_1p3b", "wan21_14b"])
def test_a_wan_s_adapter_is_trained_as_it_runs(name: str) -> None:
    config = load_config(name)
    flow, data, adapter = config.flow, config.data, config.adapter_config
    assert flow == FlowObjective() and flow.shift == WAN.shift
    assert flow.condition_noise == (0.2, 0.3), "of the paper: 200 to 300 of 1000"
    assert sum(flow.condition_noise) / 2 == WAN.noise_level
    assert max(data.frames) == WAN.window_frames and data.crop_px == (WAN.patch_px,)
    assert (adapter.patch_blocks, adapter.global_blocks, adapter.noised_view) == (3, 3, True)


def test_three_stages_end_in_a_quarter_of_the_tokens() -> None:
    adapter = random_adapter(BASE, global_blocks=3)
    branch, seen = adapter.global_, []
    assert branch is not None
    for block in branch.blocks:
        block.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[1]))
    view, location = torch.randn(1, 16, 2, 8, 12), torch.ones(1, 1, 8, 12)
    micro = MicroConditions(*(torch.zeros(1) for _ in range(4)))
    features = adapter.features(view, micro, view=view, location=location)
    assert seen == [2 * 4 * 6, 2 * 2 * 3, 2 * 2 * 3]
    assert features.global_ is not None and features.global_.shape[1] == seen[-1]


def test_the_noise_of_the_condition_may_lie_in_the_pixels_of_the_input() -> None:
    """By its name; the state that a run starts from stays clean."""
    models, frames = load_models("tiny"), torch.rand(2, 16, 24, 3, generator=torch.Generator().manual_seed(0))
    made = {}
    for form, level in (("latent", 0.12), ("lr_pixels", 0.12), ("lr_pixels", 0.0)):
        settings = replace(models.defaults, noise_level=level, noise_form=form, patch_px=64)
        plan = make_plan(2, (16, 24), (64, 96), models, settings)
        latent = encode_canvas(models.codec, frames, plan.canvas)
        made[form, level] = set_up_run(latent, frames, plan, models, settings).conditions
    clean, noisy = made["lr_pixels", 0.0], made["lr_pixels", 0.12]
    assert torch.equal(clean.augmented_latent(), clean.latent) and torch.equal(noisy.latent, clean.latent)
    expected = encode_canvas(models.codec, noise_pixels(frames, 0.12, models.defaults.seed), plan.canvas, clip=False)
    assert torch.equal(noisy.augmented_latent(), expected)
    assert torch.equal(made["latent", 0.12].augmented_latent(), augment_noise(clean.latent, 0.12, models.defaults.seed))
    assert Settings().noise_form == "latent"
