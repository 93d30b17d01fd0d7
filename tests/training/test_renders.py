"""The renderer of the training set: its passes must agree with its pictures."""

import numpy as np
import pytest
import torch

from patchvsr_core.optical_flow.flow import warp
from patchvsr_core.training.renders import NOTHING, RenderedClip, light_noise, render_clip

SEEDS = (3, 4, 5)


@pytest.fixture(scope="module")
def clips() -> list[RenderedClip]:
    """Scenes with smooth textures, so that a few samples show them well."""
    generator = torch.Generator().manual_seed(0)
    textures = [
        torch.nn.functional.interpolate(torch.rand(1, 3, 4, 4, generator=generator), (768, 768), mode="bicubic")
        .clamp(0, 1)[0]
        .movedim(0, -1)
        for _ in range(3)
    ]
    return [render_clip(np.random.default_rng(seed), textures, 3, (96, 128)) for seed in SEEDS]


def test_shapes_and_ranges(clips: list[RenderedClip]) -> None:
    for clip in clips:
        assert clip.truth.shape == (3, 96, 128, 3) and clip.small.shape == (3, 24, 32, 3)
        assert clip.motion.shape == (3, 2, 24, 32) and clip.depth.shape == (3, 24, 32)
        for picture in (clip.truth, clip.small, clip.albedo):
            assert float(picture.min()) >= 0 and float(picture.max()) <= 1
        assert float(clip.depth.min()) > 0


def test_same_seed_same_clip() -> None:
    texture = [torch.rand(40, 40, 3, generator=torch.Generator().manual_seed(1))]
    first, second, other = (render_clip(np.random.default_rng(seed), texture, 2, (32, 32)) for seed in (5, 5, 6))
    assert torch.equal(first.truth, second.truth) and torch.equal(first.motion, second.motion)
    assert not torch.equal(first.truth, other.truth)


def test_motion_leads_to_the_same_material(clips: list[RenderedClip]) -> None:
    """What a frame shows is found in the frame before where the motion points, but for what was hidden."""
    for clip in clips:
        albedo = clip.albedo.movedim(-1, 1)
        inside = warp(torch.ones_like(albedo[:-1, :1]), clip.motion[1:]) > 0.999
        moved = (warp(albedo[:-1], clip.motion[1:]) - albedo[1:]).abs().mean(1, keepdim=True)[inside]
        still = (albedo[:-1] - albedo[1:]).abs().mean(1, keepdim=True)[inside]
        wrong_way = (warp(albedo[:-1], -clip.motion[1:]) - albedo[1:]).abs().mean(1, keepdim=True)[inside]
        assert moved.median() < 0.5 * still.median()
        assert moved.median() < 0.3 * wrong_way.median()
        assert float(clip.motion[1:].abs().max()) > 0.2


def test_normals_have_length_1_but_at_edges(clips: list[RenderedClip]) -> None:
    skies = 0
    for clip in clips:
        length, sky = clip.normal.norm(dim=-1), clip.depth >= NOTHING
        skies += int(sky.sum())
        assert float(length.max()) < 1.0001
        assert (length[~sky] > 0.99).float().mean() > 0.8
        assert not sky.any() or length[sky].median() == 0
    assert skies, "one of the scenes must have a sky"


def test_small_frames_are_the_large_ones_at_a_quarter(clips: list[RenderedClip]) -> None:
    for clip in clips:
        mean = torch.nn.functional.avg_pool2d(clip.truth.movedim(-1, 1), 4).movedim(1, -1)
        assert (clip.small - mean).abs().mean() < 0.02
        assert (clip.small.roll(1, 2) - mean).abs().mean() > 2 * (clip.small - mean).abs().mean()


def test_noise_of_the_light_is_gray_and_as_strong_as_said() -> None:
    frames = torch.full((2, 64, 64, 3), 0.4) * torch.tensor([1.0, 0.5, 0.25])
    noisy = light_noise(frames, 0.1, np.random.default_rng(0))
    ratio = noisy / frames
    assert float(ratio.std()) == pytest.approx(0.1, rel=0.05)
    torch.testing.assert_close(ratio[..., 0], ratio[..., 2])
    assert torch.equal(light_noise(frames, 0.0, np.random.default_rng(0)), frames)


def test_grain_lies_on_the_surfaces_and_leaves_the_scene_as_it_was() -> None:
    textures = [torch.rand(3, 90, 120, generator=torch.Generator().manual_seed(2)).movedim(0, -1)]
    plain, grained = (render_clip(np.random.default_rng(3), textures, 2, (96, 96), grain=grain) for grain in (0.0, 1.0))
    assert torch.equal(plain.depth, grained.depth) and torch.equal(plain.motion, grained.motion)
    assert (plain.albedo - grained.albedo).abs().mean() > 0.005
