"""Strength maps: what they protect stays the base layer, what they do not touch stays the result."""

from types import SimpleNamespace

import pytest
import torch

from patchvsr_core.errors import PlanError
from patchvsr_core.finish.strength_map import StrengthMap, apply_strength_map, blend_with_base
from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.resample import resize
from patchvsr_core.vae.codec import SpaceToDepth

FRAMES, SIZE = 5, (40, 56)
VAE = SimpleNamespace(stride_px=8, stride_frames=4, channels=16, is_lossless=False)
LEFT_HALF = torch.ones(1, *SIZE)
LEFT_HALF[..., : SIZE[1] // 2] = 0


@pytest.fixture
def frames():
    return torch.rand(FRAMES, *SIZE, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def source():
    return torch.rand(FRAMES, 10, 14, 3, generator=torch.Generator().manual_seed(1))


def test_protected_is_the_base_and_the_rest_the_result_to_the_bit(frames, source):
    held = apply_strength_map(frames, source, StrengthMap(map=LEFT_HALF))
    base = resize(source, SIZE).clamp(0, 1)
    middle = SIZE[1] // 2
    assert torch.equal(held[:, :, :middle], base[:, :, :middle])
    assert torch.equal(held[:, :, middle:], frames[:, :, middle:])


def test_a_map_per_frame_is_taken_frame_by_frame(frames, source):
    per_frame = torch.arange(FRAMES)[:, None, None].expand(-1, *SIZE).clamp(max=1).float()
    held = apply_strength_map(frames, source, StrengthMap(map=per_frame))
    assert torch.equal(held[0], resize(source[:1], SIZE)[0].clamp(0, 1))
    assert torch.equal(held[1:], frames[1:])
    assert torch.equal(StrengthMap(map=per_frame).for_frames(FRAMES, SIZE, slice(1, 3)), torch.ones(2, *SIZE))


def test_fidelity_and_white_multiply(frames, source):
    base = resize(source, SIZE).clamp(0, 1)
    doubled = apply_strength_map(frames, source, StrengthMap(fidelity=-1.0))
    torch.testing.assert_close(doubled, (2 * frames - base).clamp(0, 1), atol=1e-5, rtol=0)
    grey = torch.full((1, 4, 4), 0.5)
    for strength in (
        StrengthMap(map=grey, white=2.0),
        StrengthMap(map=grey * 2),
        StrengthMap(map=grey, white=1.0, fidelity=-1),
    ):
        torch.testing.assert_close(apply_strength_map(frames, source, strength), frames, atol=1e-6, rtol=0)
    torch.testing.assert_close(apply_strength_map(frames, source, StrengthMap(fidelity=1.0)), base)


def test_white_and_black_of_a_picture_are_meant(frames, source):
    """As ComfyUI loads a grey one."""
    loaded = torch.where(LEFT_HALF > 0, 254.0078 / 255, 0.996 / 255)
    held = apply_strength_map(frames, source, StrengthMap(map=loaded))
    assert torch.equal(held, apply_strength_map(frames, source, StrengthMap(map=LEFT_HALF)))
    assert not StrengthMap(map=torch.full((1, 4, 4), 254.0078 / 255)).has_effect
    grey = StrengthMap(map=torch.full((1, 4, 4), 252 / 255)).for_frames(FRAMES, SIZE)
    torch.testing.assert_close(grey, torch.full_like(grey, 252 / 255))


def test_what_changes_nothing_does_not_act():
    assert not StrengthMap().has_effect and not StrengthMap(map=LEFT_HALF * 0 + 1).has_effect
    assert not StrengthMap(map=torch.full((1, 4, 4), 0.5), white=2.0).has_effect
    assert (
        StrengthMap(fidelity=0.1).has_effect
        and StrengthMap(map=LEFT_HALF).has_effect
        and StrengthMap(white=0.5, map=LEFT_HALF).has_effect
    )


def test_in_the_lossless_latent_it_is_exact_to_a_pixel(frames):
    codec, canvas = SpaceToDepth(), Canvas(FRAMES, (10, 14), SIZE)
    odd = torch.ones(1, *SIZE)
    odd[:, 3:29, 5:27] = 0
    weight = StrengthMap(map=odd).for_latent(codec, canvas)
    full, empty = torch.ones(FRAMES, *canvas.padded_px, 3), torch.zeros(FRAMES, *canvas.padded_px, 3)
    decoded = codec.decode(blend_with_base(codec.encode(empty), codec.encode(full), weight))
    assert torch.equal(decoded[:, : SIZE[0], : SIZE[1], 0], odd.expand(FRAMES, -1, -1))


def test_for_a_vae_a_cell_gets_the_mean_of_its_pixels_and_frames():
    canvas = Canvas(6, (10, 14), SIZE, stride_px=8, stride_frames=4)
    per_frame = torch.arange(6.0)[:, None, None].expand(-1, *SIZE) / 8
    weight = StrengthMap(map=per_frame).for_latent(VAE, canvas)
    assert weight.shape == (1, 1, *canvas.latent_shape)
    expected = torch.tensor([0.0, (1 + 2 + 3 + 4) / 32, 5 / 8])  # the last frame stands still in the padding
    torch.testing.assert_close(weight, expected.view(1, 1, 3, 1, 1).expand_as(weight))
    half = StrengthMap(map=LEFT_HALF).for_latent(VAE, canvas)
    assert half.shape[2] == 1 and half[0, 0, 0, 0].tolist() == [0, 0, 0, 0.5, 1, 1, 1, 1][: half.shape[-1]]


def test_a_map_that_cannot_be_used_is_named(frames, source):
    with pytest.raises(PlanError, match="2 frames but the clip has 5"):
        apply_strength_map(frames, source, StrengthMap(map=torch.ones(2, 4, 4)))
    for wrong in ({"fidelity": 1.5}, {"white": 3.0}, {"map": torch.ones(4, 4)}, {"map": torch.ones(0, 4, 4)}):
        with pytest.raises(PlanError):
            StrengthMap(**wrong)
