"""The conditional decoder on a small random Wan VAE."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_models import random_vae, save
from torch import Tensor

from patchvsr_core.errors import ModelError, PlanError
from patchvsr_core.hosts.diffusers.loading import load_vae
from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.vae.codec import SpaceToDepth, WanVAE
from patchvsr_core.vae.conditional_decoder import (
    ConditionalDecoder,
    ConditionalDecoderConfig,
    load_conditional_decoder,
    modulate_decoder,
    save_conditional_decoder,
)
from patchvsr_core.vae.decode import InputCondition, decode_tiles

CONFIG = ConditionalDecoderConfig(features=32, condition=32)


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> WanVAE:
    return load_vae(save(random_vae(), tmp_path_factory.mktemp("vae") / "vae.safetensors"))


def busy_decoder() -> ConditionalDecoder:
    torch.manual_seed(0)
    decoder = ConditionalDecoder(CONFIG)
    for layer in (decoder.modulation.scale, decoder.modulation.shift, decoder.condition[0].conv_3d):
        torch.nn.init.normal_(layer.weight, std=0.05)
    return decoder.requires_grad_(False).eval()


@torch.inference_mode()
def decode(
    codec: WanVAE, latent: Tensor, decoder: ConditionalDecoder, upsampled: Tensor, weight: float = 1.0
) -> Tensor:
    with modulate_decoder(codec.decoder_input, decoder, decoder.encode_condition(upsampled), weight):
        return codec.decode(latent)


def test_untrained_it_is_the_vae_bit_by_bit_and_leaves_nothing_behind(codec: WanVAE) -> None:
    torch.manual_seed(0)
    latent, upsampled = torch.randn(1, 16, 3, 4, 6), torch.rand(9, 32, 48, 3)
    plain = codec.decode(latent)
    assert torch.equal(decode(codec, latent, ConditionalDecoder(CONFIG), upsampled), plain)
    busy = decode(codec, latent, busy_decoder(), upsampled)
    assert (busy - plain).abs().mean() > 1e-3
    assert torch.equal(decode(codec, latent, busy_decoder(), upsampled, weight=0.0), plain)
    assert torch.equal(codec.decode(latent), plain)


def test_the_condition_is_seen_frame_by_frame(codec: WanVAE) -> None:
    """A change of the input's second half changes its own frames, and those at most two latent frames before."""
    torch.manual_seed(0)
    latent, upsampled = torch.randn(1, 16, 6, 2, 2), torch.rand(21, 16, 16, 3)
    other = upsampled.clone()
    other[13:] = torch.rand(8, 16, 16, 3)  # from latent frame 4 on
    decoder = busy_decoder()
    torch.nn.init.normal_(decoder.condition[1].conv_3d.weight, std=0.05)
    changed = (decode(codec, latent, decoder, upsampled) - decode(codec, latent, decoder, other)).abs().amax((1, 2, 3))
    assert (changed[:5] == 0).all()
    assert (changed[13:] > 0).all()


@pytest.mark.parametrize("parts", [[1, 1, 1, 1, 1], [1, 2, 2], [5]])
def test_any_number_of_parts_gives_the_same(codec: WanVAE, parts: list[int]) -> None:
    """As diffusers decodes (one latent frame after the other), as ComfyUI does (one, then two), and all at once."""
    torch.manual_seed(0)
    conv, decoder = codec.decoder_input, busy_decoder()
    latent, upsampled = torch.randn(1, 16, 5, 4, 4), torch.rand(17, 32, 32, 3)
    with torch.inference_mode():
        condition = decoder.encode_condition(upsampled)
        whole = decoder.modulation(condition, conv(latent))
        found, start = [], 0
        with modulate_decoder(conv, decoder, condition):
            for length in parts:
                cache = latent[:, :, max(start - 2, 0) : start] if start else None
                found.append(conv(latent[:, :, start : start + length], cache))
                start += length
    torch.testing.assert_close(torch.cat(found, 2), whole, atol=1e-5, rtol=0)


def test_a_canvas_is_decoded_by_the_input(codec: WanVAE) -> None:
    torch.manual_seed(0)
    canvas = Canvas(6, (20, 24), (80, 96), stride_px=8, stride_frames=4)
    latent, source = torch.randn(1, 16, *canvas.latent_shape), torch.rand(6, 20, 24, 3)
    plain = decode_tiles(codec, latent, canvas, tile_px=64, overlap_px=16)
    same = decode_tiles(
        codec, latent, canvas, tile_px=64, overlap_px=16, condition=InputCondition(ConditionalDecoder(CONFIG), source)
    )
    assert len(plain.pixels) > 1
    assert all(torch.equal(a, b) for a, b in zip(plain.pixels, same.pixels, strict=True))
    condition = InputCondition(busy_decoder(), source)
    changed = decode_tiles(codec, latent, canvas, tile_px=64, overlap_px=16, condition=condition)
    assert all((a - b).abs().mean() > 1e-3 for a, b in zip(plain.pixels, changed.pixels, strict=True))
    assert all(tile.shape[0] == 6 for tile in changed.pixels)


def test_what_does_not_fit_is_said(codec: WanVAE) -> None:
    latent, upsampled = torch.randn(1, 16, 3, 4, 6), torch.rand(9, 32, 48, 3)
    with pytest.raises(ModelError, match="starts with 48 channels"):
        decode(codec, latent, ConditionalDecoder(replace(CONFIG, features=48)), upsampled)
    with pytest.raises(ModelError, match="choose smaller tiles"):
        decode(codec, latent, ConditionalDecoder(CONFIG), upsampled[:, :16])
    canvas, source = Canvas(2, (8, 8), (16, 16)), torch.rand(2, 8, 8, 3)
    condition = InputCondition(ConditionalDecoder(CONFIG), source)
    with pytest.raises(ModelError, match="decode without it"):
        decode_tiles(SpaceToDepth(), torch.zeros(1, 192, 2, 2, 2), canvas, condition=condition)
    with pytest.raises(PlanError, match="plan again"):
        decode_tiles(
            SpaceToDepth(), torch.zeros(1, 192, 2, 2, 2), canvas, condition=replace(condition, source=source[:1])
        )


def test_file_round_trip(tmp_path: Path, codec: WanVAE) -> None:
    decoder = busy_decoder()
    save_conditional_decoder(decoder, tmp_path / "c.safetensors", torch.float32)
    loaded = load_conditional_decoder(tmp_path / "c.safetensors")
    assert asdict(loaded.config) == asdict(CONFIG)
    latent, upsampled = torch.randn(1, 16, 2, 2, 2), torch.rand(5, 16, 16, 3)
    assert torch.equal(decode(codec, latent, loaded, upsampled), decode(codec, latent, decoder, upsampled))


def test_bad_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no conditional decoder file"):
        load_conditional_decoder(tmp_path / "none.safetensors")
    save_conditional_decoder(ConditionalDecoder(replace(CONFIG, version=2)), tmp_path / "newer.safetensors")
    with pytest.raises(ModelError, match="update PatchVSR"):
        load_conditional_decoder(tmp_path / "newer.safetensors")
    save_file({"a": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ModelError, match="is not a PatchVSR conditional decoder"):
        load_conditional_decoder(tmp_path / "other.safetensors")


def test_it_learns_while_the_vae_stays(codec: WanVAE) -> None:
    torch.manual_seed(0)
    truth = torch.rand(5, 16, 16, 3)
    latent = codec.encode(truth)
    before = {name: value.clone() for name, value in codec.vae.state_dict().items()}
    decoder = ConditionalDecoder(CONFIG)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=2e-3)
    errors = []
    for _ in range(3):
        with modulate_decoder(codec.decoder_input, decoder, decoder.encode_condition(truth)):
            error = (codec.decode_with_grad(latent) - truth).abs().mean()
        errors.append(float(error.detach()))
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert errors[2] < errors[1] < errors[0]
    assert all(torch.equal(value, before[name]) for name, value in codec.vae.state_dict().items())


def test_temporal_blocks_do_nothing_when_new_and_see_what_came_before(codec: WanVAE) -> None:
    torch.manual_seed(0)
    config = replace(CONFIG, temporal_blocks=2)
    latent, upsampled = torch.randn(1, 16, 3, 4, 6), torch.rand(9, 32, 48, 3)
    new, trained = ConditionalDecoder(config), ConditionalDecoder(config)
    assert torch.equal(decode(codec, latent, new, upsampled), codec.decode(latent))
    for block in trained.temporal:
        torch.nn.init.normal_(block.conv2.weight, std=0.1)
    condition, conv = trained.encode_condition(upsampled).detach(), torch.nn.Conv3d(16, 32, 1)
    with torch.no_grad():
        with modulate_decoder(conv, trained, condition):
            whole = conv(latent)
        with modulate_decoder(conv, trained, condition):
            parts = torch.cat([conv(latent[:, :, :1]), conv(latent[:, :, 1:])], 2)
        with modulate_decoder(conv, trained, condition):
            other = conv(torch.cat([latent[:, :, :1] + 1, latent[:, :, 1:]], 2))
        with modulate_decoder(conv, trained, condition, 0.0):
            off = conv(latent)
    assert torch.allclose(whole, parts, atol=1e-5) and torch.equal(off, conv(latent))
    assert (whole[:, :, 2] - other[:, :, 2]).abs().max() > 1e-3, "two frames back matter"


def test_files_from_before_have_no_temporal_blocks(tmp_path: Path) -> None:
    save_conditional_decoder(busy_decoder(), tmp_path / "d.safetensors")
    assert not load_conditional_decoder(tmp_path / "d.safetensors").temporal
    save_conditional_decoder(ConditionalDecoder(replace(CONFIG, temporal_blocks=1)), tmp_path / "t.safetensors")
    assert len(load_conditional_decoder(tmp_path / "t.safetensors").temporal) == 1
