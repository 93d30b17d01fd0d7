"""Low-frequency guidance, pixel projection and eta as options of Apply PatchVSR, on a stock Wan."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from fakes import run_node
from fakes.chain import a_clip, run_chain, sampling
from fakes.core_behaviour import prompt, sampler
from fakes.wan import AveragingVAE, random_wan
from safetensors.torch import save_file

from patchvsr_core.hosts.diffusers.loading import load_base
from patchvsr_core.hosts.diffusers.models import Models
from patchvsr_core.hosts.diffusers.pipeline import sample as sample_headless
from patchvsr_core.resample import resize
from patchvsr_core.sampling.solvers import sigma_schedule
from patchvsr_core.settings import Settings
from patchvsr_core.stages import make_plan

STEPS, START, SEED = 4, 0.3, 3
EVERYTHING = {"structure_lock": 0.5, "projection_steps": 2, "churn": 0.2}
FIELDS = {"structure_lock": "low_frequency_guidance", "churn": "eta"}
"""Fields of Settings by the widgets that set them, where their names differ."""


@dataclass
class Stock:
    """A Wan without adapter, up to the sampler."""

    wan: Any
    vae: Any
    plan: Any
    cond: Any
    latent: Any

    def sample(self, pack: Any, *, name: str = "euler", sigmas: Any = None, seed: int = SEED, **options: Any) -> Any:
        (model,) = run_node(pack["ApplyPatchVSR"], model=self.wan, plan=self.plan, patch_cond=self.cond, **options)
        (model,) = run_node(pack["JointModulationMerger"], model=model, plan=self.plan, patches_at_once=1)
        levels = sigma_schedule(STEPS, start=START) if sigmas is None else sigmas
        inputs = sampling(model, prompt("any")[0], seed=seed) | {"sigmas": levels, "sampler": sampler(name)[0]}
        return run_node(pack["PatchSampler"], **inputs, latent=self.latent, plan=self.plan)[0]["samples"]


class CountingVAE(AveragingVAE):
    """Knows how often it was asked."""

    def __init__(self):
        self.encoded = self.decoded = 0

    def encode(self, pixels):
        self.encoded += 1
        return super().encode(pixels)

    def decode(self, samples):
        self.decoded += 1
        return super().decode(samples)


@pytest.fixture(scope="module")
def source():
    return a_clip(frames=5)


@pytest.fixture(scope="module")
def stock(pack, source):
    vae = CountingVAE()
    plan = run_node(pack["PatchPlanner"], image=source, vae=vae, patch_px=64)[0]
    assert len(plan.patches) > 1
    return Stock(random_wan(), vae, plan, *run_node(pack["PatchEncoder"], vae=vae, image=source, plan=plan))


def test_off_by_default_and_then_nothing_is_attached(pack, tiny, chain):
    inputs = {socket.id: socket.default for socket in pack["ApplyPatchVSR"].GET_SCHEMA().inputs}
    assert not any(inputs[name] for name in (*EVERYTHING, "fidelity", "strength_map"))
    assert "sampler_post_cfg_function" not in chain.controlled.model_options
    assert set(chain.controlled.wrappers) == {"apply_model", "sampler_sample"}
    assert len(chain.controlled.wrappers["sampler_sample"]["patchvsr"]) == 1, "no eta beside the adapter's own"


def test_without_eta_it_is_the_samplers_own_euler(pack, stock):
    plain = stock.sample(pack)
    assert torch.equal(stock.sample(pack, churn=0.0), plain)
    assert not torch.equal(stock.sample(pack, churn=0.2), plain)


@pytest.mark.parametrize("options", [EVERYTHING, {**EVERYTHING, "churn": 0.0}, {"projection_steps": 9}, {"churn": 1.0}])
def test_both_hosts_give_the_same_numbers(pack, stock, source, tmp_path, options):
    base = stock.wan.model
    save_file(dict(base.diffusion_model.state_dict()), tmp_path / "wan.safetensors")
    models = Models(
        load_base(tmp_path / "wan.safetensors"),
        InModelSpace(stock.vae, base.latent_format),
        prompt("any")[0][0][0],
        None,
        None,
        Settings(),
        torch.device("cpu"),
    )
    chosen = {FIELDS.get(name, name): value for name, value in options.items()}
    settings = Settings(patch_px=64, steps=STEPS, start=START, seed=SEED, **chosen)
    plan = make_plan(5, (13, 17), (52, 68), models, settings)
    assert len(plan.patches) == len(stock.plan.patches)
    with torch.inference_mode():
        headless = sample_headless(source, plan, models, settings, lambda stage, done, total: None)
    native = base.process_latent_in(stock.sample(pack, **options))
    assert (native - headless).abs().max() < 1e-4
    assert (native - base.process_latent_in(stock.sample(pack))).abs().max() > 0.1


class InModelSpace:
    """The stand-in's VAE as a headless codec: latents as the model sees them."""

    channels, stride_px, stride_frames = 16, 8, 4
    is_lossless = False

    def __init__(self, vae, latent_format):
        self.vae, self.latent_format = vae, latent_format

    def encode(self, frames):
        return self.latent_format.process_in(self.vae.encode(frames))

    def decode(self, latent):
        return self.vae.decode(self.latent_format.process_out(latent)).flatten(0, 1)


def test_a_denoise_of_0_is_the_codecs_round_trip(pack, stock, source):
    """Schedulers answer it with an empty list of noise levels."""
    sampled = stock.sample(pack, sigmas=torch.zeros(0), **EVERYTHING)
    (tiles,) = run_node(pack["PatchDecoder"], vae=stock.vae, latent={"samples": sampled}, plan=stock.plan)
    frames = run_node(pack["Blender"], tiles=tiles, color_fix="none")[0]
    enlarged = torch.nn.functional.pad(resize(source, (52, 68)).movedim(-1, 1), (0, 12, 0, 12), mode="replicate")
    round_trip = stock.vae.decode(stock.vae.encode(enlarged.movedim(1, -1).clamp(0, 1)))[0]
    inner = (slice(None), slice(0, 48), slice(0, 64))  # the outermost cells hold padding as well
    assert (frames[inner] - round_trip[inner]).abs().max() < 1e-5


def test_a_projected_result_shrunk_again_is_the_input(pack, tiny):
    """The lossless codec of the tiny default, before any refiner."""
    clip, distances = a_clip(), []
    for steps in (0, 1):
        frames = run_chain(pack, tiny, clip, projection_steps=steps).blended
        distances.append((resize(frames, (13, 17)) - clip).abs().max())
    assert distances[1] < 1 / 255 < distances[0]


@pytest.mark.parametrize(("name", "steps", "projections"), [("euler", 1, 1), ("euler", 3, 3), ("heun", 1, 2)])
def test_the_last_steps_are_told_by_their_noise_levels(pack, stock, name, steps, projections):
    """Heun looks ahead to the last level once before it gets there."""
    stock.vae.encoded = stock.vae.decoded = 0
    stock.sample(pack, name=name, projection_steps=steps)
    assert (stock.vae.decoded, stock.vae.encoded) == (projections, 2 * projections)


def test_a_projection_leaves_loaded_what_was_loaded(pack, stock, monkeypatch):
    import comfy.model_management as management

    loaded = []
    monkeypatch.setattr(management, "loaded_models", lambda only_currently_used=False: ["the model", "the adapter"])
    monkeypatch.setattr(management, "load_models_gpu", lambda models, **memory: loaded.append(models))
    stock.sample(pack, projection_steps=2)
    assert loaded == [["the model", "the adapter"]] * 2


def test_a_projection_can_be_cancelled(pack, stock, monkeypatch):
    import comfy.model_management as management

    def decode(samples):
        management.interrupt_current_processing()
        return AveragingVAE().decode(samples)

    monkeypatch.setattr(stock.vae, "decode", decode)
    with pytest.raises(management.InterruptProcessingException):
        stock.sample(pack, projection_steps=1)


def test_the_condition_carries_the_clip_itself(stock, source):
    assert stock.cond.source.data_ptr() == source.data_ptr() and stock.cond.codec.vae is stock.vae


def test_eta_depends_on_the_seed_alone(pack, stock):
    first, again, other = (stock.sample(pack, churn=0.5, seed=seed) for seed in (1, 1, 2**64 - 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_previews_show_the_prediction_without_fresh_noise(pack, stock, monkeypatch):
    seen = []
    monkeypatch.setattr(stock.wan.model, "apply_model", lambda x, t, **rest: torch.zeros_like(x))
    model = run_node(pack["ApplyPatchVSR"], model=stock.wan, plan=stock.plan, patch_cond=stock.cond, churn=1.0)[0]
    sampling(model, prompt("any")[0])["guider"].sample(
        torch.randn(stock.latent["samples"].shape),
        stock.latent["samples"],
        sampler()[0],
        sigma_schedule(STEPS, start=START),
        callback=lambda step, x0, x, steps: seen.append((step, float(x0.abs().max()), steps)),
    )
    assert seen == [(step, 0.0, STEPS) for step in range(STEPS)]


def test_eta_refuses_other_samplers_and_the_tiny_default(pack, tiny, stock, chain):
    errors = pack.part("patchvsr_core.errors")
    with pytest.raises(errors.PlanError, match="choose the sampler euler"):
        stock.sample(pack, name="heun", churn=0.2)
    with pytest.raises(errors.PlanError, match="set eta to 0"):
        run_node(pack["ApplyPatchVSR"], model=tiny.model, plan=chain.plan, patch_cond=chain.cond, churn=0.2)
