"""Identities of what holds a stock base to the input."""

from __future__ import annotations

import itertools

import pytest
import torch

from patchvsr_core.errors import Cancelled
from patchvsr_core.finish.back_projection import back_project
from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.resample import resize
from patchvsr_core.sampling.input_guidance import ancestral_euler, guide_low_frequencies, project_in_pixels
from patchvsr_core.sampling.solvers import euler, sigma_schedule, start_flow
from patchvsr_core.settings import Settings
from patchvsr_core.vae.codec import SpaceToDepth
from patchvsr_core.vae.decode import blend_tiles, decode_tiles
from patchvsr_core.vae.encode import encode_canvas, seeded_noise


def test_a_full_lock_returns_the_input() -> None:
    x0, z = torch.randn(1, 4, 3, 12, 20), torch.randn(1, 4, 3, 12, 20)
    locked = guide_low_frequencies(x0, z, torch.tensor(0.3), strength=1.0, start=0.3, band=1.0)
    torch.testing.assert_close(locked, z)
    assert guide_low_frequencies(x0, z, torch.tensor(0.3), strength=0.0, start=0.3) is x0


def test_the_lock_moves_low_frequencies_and_leaves_high_ones() -> None:
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    checkers = ((-1.0) ** (x + y)).expand(1, 2, 1, 32, 32)
    x0, z = checkers, torch.full_like(checkers, 0.7)
    locked = guide_low_frequencies(x0, z, torch.tensor(0.3), strength=1.0, start=0.3)
    torch.testing.assert_close(locked, checkers + 0.7, atol=0.02, rtol=0)


def test_the_lock_fades_with_the_noise() -> None:
    x0, z = torch.zeros(1, 1, 1, 8, 8), torch.ones(1, 1, 1, 8, 8)
    half = guide_low_frequencies(x0, z, torch.tensor(0.15), strength=0.5, start=0.3)
    torch.testing.assert_close(half, torch.full_like(x0, 0.25))


def test_a_projected_prediction_downsamples_to_the_input() -> None:
    codec, canvas = SpaceToDepth(), Canvas(2, (10, 14), (40, 56))
    source = resize(torch.rand(2, 5, 7, 3) * 0.3 + 0.35, (10, 14))
    x0 = encode_canvas(codec, source, canvas) + 0.05 * torch.randn(1, 192, *canvas.latent_shape)
    projected = project_in_pixels(x0, codec, source, canvas, tile_px=128, overlap_px=32)
    frames = blend_tiles(decode_tiles(codec, projected, canvas))
    assert (resize(frames, (10, 14)) - source).abs().max() < 1 / 255
    assert (frames - blend_tiles(decode_tiles(codec, x0, canvas))).abs().mean() > 0.005


def test_what_agrees_already_is_left_alone() -> None:
    codec, canvas = SpaceToDepth(), Canvas(1, (8, 8), (32, 32))
    x0 = torch.rand(1, 192, *canvas.latent_shape) - 0.5
    source = resize(codec.decode(x0), (8, 8))
    torch.testing.assert_close(project_in_pixels(x0, codec, source, canvas), x0, atol=1e-5, rtol=0)


def test_in_a_lossless_codec_projected_pixels_are_those_of_back_projection() -> None:
    codec, canvas = SpaceToDepth(), Canvas(2, (8, 16), (32, 64))
    source, x0 = torch.rand(2, 8, 16, 3), torch.rand(1, 192, *canvas.latent_shape) - 0.5
    projected = codec.decode(project_in_pixels(x0, codec, source, canvas))
    torch.testing.assert_close(projected, back_project(codec.decode(x0), source).clamp(0, 1), atol=1e-5, rtol=0)


class Lossy(SpaceToDepth):
    """Keeps a mean colour per cell and loses the rest, as a VAE loses detail; linear."""

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        latent = super().encode(frames)
        return latent.unflatten(1, (3, 64)).mean(2, keepdim=True).expand(-1, -1, 64, -1, -1, -1).flatten(1, 2)


def test_in_a_lossy_codec_only_the_difference_of_pixels_is_carried() -> None:
    """What the codec cannot express stays in the prediction, and what the projection changed is in it."""
    codec, canvas = Lossy(), Canvas(2, (8, 16), (32, 64))
    source, x0 = torch.rand(2, 8, 16, 3), torch.rand(1, 192, *canvas.latent_shape) - 0.5
    pixels = codec.decode(x0)
    wanted = x0 + codec.encode(back_project(pixels, source).clamp(0, 1)) - codec.encode(pixels)
    projected = project_in_pixels(x0, codec, source, canvas)
    torch.testing.assert_close(projected, wanted, atol=1e-5, rtol=0)
    assert (projected - x0).abs().mean() > 0.02, "it is not its input"
    lost = codec.encode(codec.decode(x0)) - x0
    assert lost.abs().mean() > 0.1, "the codec's own error is large, and not in the result"
    before, after = (resize(codec.decode(x), (4, 8)) for x in (x0, projected))
    coarse = resize(source, (4, 8))
    assert (after - coarse).abs().mean() < 0.5 * (before - coarse).abs().mean()


def test_a_projection_reports_its_parts_and_can_be_stopped() -> None:
    codec, canvas, parts = SpaceToDepth(), Canvas(1, (16, 32), (64, 128)), []
    x0, source = torch.zeros(1, 192, *canvas.latent_shape), torch.rand(1, 16, 32, 3)
    project_in_pixels(x0, codec, source, canvas, tile_px=64, overlap_px=16, on_part=lambda *part: parts.append(part))
    tiles = [(done, 3) for done in (1, 2, 3)]
    assert parts == [*tiles, (1, 1), *tiles, *tiles]

    def stop(done: int, total: int) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        project_in_pixels(x0, codec, source, canvas, on_part=stop)


def test_what_was_back_projected_downsamples_to_the_input() -> None:
    source = resize(torch.rand(2, 5, 7, 3) * 0.3 + 0.35, (10, 14))
    frames = back_project(torch.rand(2, 40, 56, 3) * 0.2 + 0.4, source)
    assert (resize(frames, (10, 14)) - source).abs().max() < 1 / 255


def test_a_run_from_noise_level_0_is_the_codecs_round_trip() -> None:
    """Whatever else is chosen; the lossless codec's round trip is the enlarged input itself."""
    source = torch.rand(3, 9, 13, 3)
    held = {"low_frequency_guidance": 1.0, "projection_steps": 1, "refine_strength": 0.0, "fidelity_rounds": 0}
    out = upscale(source, (36, 52), load_models("tiny"), Settings(start=0.0, **held))
    torch.testing.assert_close(out, resize(source, (36, 52)).clamp(0, 1), atol=1e-6, rtol=0)


def test_without_eta_it_is_euler_bit_for_bit() -> None:
    truth = torch.randn(1, 2, 1, 8, 8)
    model = lambda x, sigma, step: 0.7 * truth + 0.3 * x  # noqa: E731
    start, sigmas = start_flow(truth, torch.randn_like(truth), 0.4), sigma_schedule(5, start=0.4)
    assert torch.equal(ancestral_euler(0.0, 1)(model, start, sigmas, None), euler(model, start, sigmas))


def test_k_diffusions_ancestral_step_is_one_of_ours_but_its_share_grows() -> None:
    """ComfyUI's euler_ancestral on a flow steps down to s = sigma' r with r = 1 - eta (1 - sigma' / sigma), scales
    by (1 - sigma') / (1 - s) and adds noise up to sigma'. That is an eta of ours that grows from step to step."""
    x0, x, fresh = torch.randn(1, 2, 1, 8, 8), torch.randn(1, 2, 1, 8, 8), seeded_noise((1, 2, 1, 8, 8), 5)
    parts, eta = [], 0.5
    levels = sigma_schedule(5, start=0.3)[:-1]
    for sigma, following in itertools.pairwise(levels):
        ratio = 1 - eta * (1 - following / sigma)
        down = following * ratio
        scale = (1 - following) / (1 - down)
        ancestral = scale * torch.lerp(x0, x, down / sigma) + (following**2 - (scale * down) ** 2).sqrt() * fresh
        parts.append(float(1 - (scale * ratio) ** 2))
        ours = ancestral_euler(parts[-1], 4)(lambda *_: x0, x, torch.stack([sigma, following]), None)
        torch.testing.assert_close(ours, ancestral)
    assert parts == sorted(parts) and parts[-1] > 1.5 * parts[0]


def test_eta_keeps_the_amount_of_noise() -> None:
    truth = torch.zeros(1, 16, 4, 32, 32)
    seen = []

    def model(x: torch.Tensor, sigma: torch.Tensor, step: int) -> torch.Tensor:
        seen.append((float(sigma), float(x.std()), x / sigma))
        return truth

    noise = torch.randn_like(truth)
    ancestral_euler(0.2, 3)(model, start_flow(truth, noise, 0.5), sigma_schedule(4, start=0.5), None)
    for sigma, deviation, _ in seen:
        assert deviation == pytest.approx(sigma, rel=0.02)
    correlations = [float((a * b).mean()) for (_, _, a), (_, _, b) in itertools.pairwise(seen)]
    assert correlations == pytest.approx([0.8**0.5] * 3, abs=0.02)
