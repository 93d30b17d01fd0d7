import pytest
import torch

from patchvsr_core.errors import PlanError
from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.resample import resize
from patchvsr_core.vae.codec import SpaceToDepth
from patchvsr_core.vae.decode import blend_tiles, decode_tiles
from patchvsr_core.vae.encode import augment_noise, encode_canvas, encode_global, noise_pixels, seeded_noise

CODEC = SpaceToDepth()


@pytest.mark.parametrize("source", [(131, 173), (5, 7), (32, 48), (1, 1)])
@pytest.mark.parametrize("window", ["linear", "cosine"])
def test_split_and_blend_is_the_identity(source: tuple[int, int], window: str) -> None:
    frames = torch.rand(3, *source, 3)
    canvas = Canvas(3, source, (source[0] * 4, source[1] * 4))
    latent = encode_canvas(CODEC, frames, canvas, tile_px=128, overlap_px=32)
    tiles = decode_tiles(CODEC, latent, canvas, tile_px=96, overlap_px=24)
    out = blend_tiles(tiles, window=window)
    expected = resize(frames, canvas.target).clamp(0, 1)
    assert out.shape == expected.shape
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


def test_borders_are_not_darkened() -> None:
    frames = torch.ones(2, 40, 40, 3)
    canvas = Canvas(2, (40, 40), (160, 160))
    latent = encode_canvas(CODEC, frames, canvas, tile_px=64, overlap_px=16)
    out = blend_tiles(decode_tiles(CODEC, latent, canvas, tile_px=64, overlap_px=16))
    assert (out - 1).abs().max() < 1e-5


def test_padded_frames_are_cut_off() -> None:
    class Repeating(SpaceToDepth):
        stride_frames = 4

        def __init__(self) -> None:
            super().__init__()
            self.stride_frames = 4

        def encode(self, frames: torch.Tensor) -> torch.Tensor:
            return super().encode(frames[::4])

        def decode(self, latent: torch.Tensor) -> torch.Tensor:
            return super().decode(latent).repeat_interleave(4, dim=0)[3:]

    codec = Repeating()
    frames = torch.rand(7, 8, 8, 3)
    canvas = Canvas(7, (8, 8), (32, 32), stride_frames=4)
    latent = encode_canvas(codec, frames, canvas)
    assert latent.shape[2:] == (3, 4, 4)
    out = blend_tiles(decode_tiles(codec, latent, canvas))
    upsampled = resize(frames, (32, 32)).clamp(0, 1)
    torch.testing.assert_close(out, upsampled[[0, 4, 4, 4, 4, 6, 6]], atol=1e-5, rtol=0)


def test_global_view_is_the_resized_video() -> None:
    frames = torch.rand(2, 20, 30, 3)
    view = encode_global(CODEC, frames, Canvas(2, (20, 30), (80, 120)), (4, 4))
    assert view.shape == (1, 192, 2, 4, 4)
    torch.testing.assert_close(CODEC.decode(view), resize(frames, (32, 32)).clamp(0, 1), atol=1e-5, rtol=0)


def test_noise_augmentation_mixes() -> None:
    latent = torch.ones(1, 4, 8, 16, 16)
    assert augment_noise(latent, 0, seed=1) is latent
    noisy = augment_noise(latent, 0.25, seed=1)
    noise = (noisy - 0.75) / 0.25
    assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05
    start = seeded_noise(latent.shape, 1)
    correlation = (noise * start).mean()
    assert abs(correlation) < 0.05, "noise of the start in the condition would give the answer away"
    assert torch.equal(noisy, augment_noise(latent, 0.25, seed=1))
    assert not torch.equal(noisy, augment_noise(latent, 0.25, seed=2))
    with pytest.raises(PlanError, match="between 0 and 1"):
        augment_noise(latent, 1.5, seed=1)


def test_another_clip_or_latent_is_refused() -> None:
    canvas = Canvas(2, (20, 30), (80, 120))
    with pytest.raises(PlanError, match="2 frames of 30x20"):
        encode_canvas(CODEC, torch.rand(3, 20, 30, 3), canvas)
    with pytest.raises(PlanError, match="sampled with this plan"):
        decode_tiles(CODEC, torch.zeros(1, 192, 1, 2, 2), canvas)


def test_a_bicubic_base_layer_changes_nothing() -> None:
    frames = torch.rand(3, 20, 28, 3)
    canvas = Canvas(3, (20, 28), (80, 112), 8, 1)
    plain = encode_canvas(CODEC, frames, canvas)
    upsampled = resize(frames, (80, 112)).clamp(0, 1)
    torch.testing.assert_close(encode_canvas(CODEC, frames, canvas, base=upsampled), plain)
    assert not torch.allclose(encode_canvas(CODEC, frames, canvas, base=upsampled**2), plain)


@pytest.mark.parametrize("size", [(60, 84), (160, 224), (80, 112)])
def test_a_base_layer_may_have_any_size(size: tuple[int, int]) -> None:
    """A smooth picture is the same, however it was enlarged before."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 20), torch.linspace(0, 1, 28), indexing="ij")
    frames = torch.stack([y, x, y * x], -1)[None].repeat(2, 1, 1, 1) * 0.8 + 0.1
    canvas = Canvas(2, (20, 28), (80, 112), 8, 1)
    plain = encode_canvas(CODEC, frames, canvas)
    other = encode_canvas(CODEC, frames, canvas, base=resize(frames, size))
    assert (other - plain).abs().max() < 0.03


def test_a_base_layer_of_another_clip_is_refused() -> None:
    canvas = Canvas(3, (20, 28), (80, 112), 8, 1)
    with pytest.raises(PlanError, match="base layer"):
        encode_canvas(CODEC, torch.rand(3, 20, 28, 3), canvas, base=torch.rand(2, 80, 112, 3))


def test_noise_in_pixels_is_upscale_a_videos() -> None:
    """sqrt(a) x + sqrt(1 - a) eps at 120 of 1000 steps of the scaled linear schedule: 0.980 and 0.201; not clipped."""
    frames = torch.rand(4, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    noisy = noise_pixels(frames, 0.12, 5)
    signal, noise = torch.zeros_like(frames) + 1.0, noise_pixels(torch.full_like(frames, 0.5), 0.12, 5)
    assert float((2 * noise - 1).std()) == pytest.approx(0.201, abs=2e-3)
    kept = noise_pixels(signal, 0.12, 5) - noise
    assert float(2 * kept.mean()) == pytest.approx(0.980, abs=5e-4)
    torch.testing.assert_close(noisy, (0.980 * (2 * frames - 1) + (2 * noise - 1) + 1) / 2, atol=5e-4, rtol=0)
    assert noisy.min() < 0 and noisy.max() > 1
    assert noise_pixels(frames, 0.0, 5) is frames
    with pytest.raises(PlanError, match="between 0 and 1"):
        noise_pixels(frames, 1.5, 5)
