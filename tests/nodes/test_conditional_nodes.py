"""Conditional Refiner and Conditional Decoder, on the stand-in."""

import pytest
import torch
from fakes import run_node
from torch import Tensor, nn

from patchvsr_core.finish.conditional_refiner import ConditionalRefiner as Network
from patchvsr_core.finish.refine import Refiner, RefinerConfig, save_refiner
from patchvsr_core.vae.conditional_decoder import ConditionalDecoder, ConditionalDecoderConfig, save_conditional_decoder

SIZES = {"channels": 16, "blocks": 4}


@pytest.fixture(scope="module")
def nodes(pack):
    return pack.part("nodes.conditional")


@pytest.fixture
def model_patches(pack, nodes, tmp_path):
    nodes.folder_paths.folders["model_patches"] = tmp_path
    yield tmp_path
    del nodes.folder_paths.folders["model_patches"]


def save_busy(refiner: Refiner, path) -> None:
    torch.manual_seed(0)
    for parameter in refiner.parameters():
        nn.init.normal_(parameter, std=0.03)
    save_refiner(refiner, path, torch.float32)


def test_the_shipped_refiner_is_the_first_choice(pack, nodes, clip):
    (combo,) = [s for s in nodes.ConditionalRefiner.GET_SCHEMA().inputs if s.id == "refiner"]
    assert combo.options["options"][0] == "tiny (shipped)"
    decoded = nn.functional.interpolate(clip.movedim(-1, 1), scale_factor=4).movedim(1, -1)
    (refined,) = run_node(nodes.ConditionalRefiner, decoded=decoded, source=clip, refiner="tiny (shipped)")
    assert refined.shape == decoded.shape and (refined - decoded).abs().mean() > 1e-3
    assert error_when_shrunk(refined, clip) < 0.01


def test_a_refiner_of_ones_own(pack, nodes, model_patches, clip):
    save_busy(Network(RefinerConfig(**SIZES, kind="conditional")), model_patches / "mine.safetensors")
    (combo,) = [s for s in nodes.ConditionalRefiner.GET_SCHEMA().inputs if s.id == "refiner"]
    assert "mine.safetensors" in combo.options["options"]
    decoded = nn.functional.interpolate(clip.movedim(-1, 1), scale_factor=4).movedim(1, -1)
    inputs = {"decoded": decoded, "source": clip, "refiner": "mine.safetensors"}
    (refined,) = run_node(nodes.ConditionalRefiner, **inputs, rounds=0, cleanup=0.0)
    assert refined.shape == decoded.shape and refined.min() >= 0 and refined.max() <= 1
    assert (refined - decoded).abs().mean() > 1e-3
    (off,) = run_node(nodes.ConditionalRefiner, **inputs, rounds=0, strength=0.0)
    assert torch.equal(off, decoded)
    (agreeing,) = run_node(nodes.ConditionalRefiner, **inputs, cleanup=0.0)  # its meter is random
    assert error_when_shrunk(agreeing, clip) < 0.5 * error_when_shrunk(refined, clip)


def error_when_shrunk(frames, clip):
    shrunk = nn.functional.interpolate(frames.movedim(-1, 1), size=(13, 17), mode="bicubic", antialias=True)
    return (shrunk.movedim(1, -1) - clip).abs().mean()


def test_a_file_that_changed_is_read_again(pack, nodes, model_patches, clip):
    path = model_patches / "mine.safetensors"
    inputs = {"decoded": torch.rand(3, 52, 68, 3), "source": clip, "refiner": path.name, "rounds": 0}
    save_refiner(Network(RefinerConfig(**SIZES, kind="conditional")), path)
    (before,) = run_node(nodes.ConditionalRefiner, **inputs)
    assert torch.equal(before, inputs["decoded"])
    save_busy(Network(RefinerConfig(**SIZES, kind="conditional")), path)
    (after,) = run_node(nodes.ConditionalRefiner, **inputs)
    assert not torch.equal(after, before)


def test_a_file_of_another_kind_is_named(pack, nodes, model_patches, clip):
    save_conditional_decoder(ConditionalDecoder(ConditionalDecoderConfig(32, 32)), model_patches / "wrong.safetensors")
    with pytest.raises(pack.part("patchvsr_core.errors").ModelError, match="is not a PatchVSR refiner"):
        run_node(nodes.ConditionalRefiner, decoded=torch.rand(3, 52, 68, 3), source=clip, refiner="wrong.safetensors")


class VideoVAE:
    """The part of a native VAE that a conditional decoder meets: ``first_stage_model.decoder.conv1``, in two parts."""

    latent_channels = 16

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.first_stage_model = nn.Module()
        self.first_stage_model.decoder = nn.Module()
        self.first_stage_model.decoder.conv1 = nn.Conv3d(16, 32, (1, 3, 3), padding=(0, 1, 1)).requires_grad_(False)

    def decode(self, samples: Tensor) -> Tensor:
        conv = self.first_stage_model.decoder.conv1
        features = torch.cat([conv(samples[:, :, :1]), conv(samples[:, :, 1:])], 2)
        colors = features[:, :3].repeat_interleave(8, dim=3).repeat_interleave(8, dim=4)
        return torch.cat([colors[:, :, :1], colors[:, :, 1:].repeat_interleave(4, dim=2)], 2).movedim(1, -1)

    def spacial_compression_encode(self) -> int:
        return 8

    def temporal_compression_decode(self) -> int:
        return 4


def test_the_input_has_its_say_in_decoding(pack, nodes, model_patches, clip):
    vae = VideoVAE()
    (plan, *_) = run_node(pack["PatchPlanner"], image=clip, vae=vae, scale=4.0)
    latent = {"samples": torch.randn(1, 16, *plan.canvas.latent_shape)}
    (plain,) = run_node(pack["PatchDecoder"], vae=vae, latent=latent, plan=plan)
    decoder = ConditionalDecoder(ConditionalDecoderConfig(features=32, condition=32))
    save_conditional_decoder(decoder, model_patches / "untrained.safetensors", torch.float32)
    nn.init.normal_(decoder.modulation.shift.weight, std=0.1)
    save_conditional_decoder(decoder, model_patches / "trained.safetensors", torch.float32)
    inputs = {"vae": vae, "latent": latent, "plan": plan, "source": clip}
    (same,) = run_node(nodes.ConditionalDecoder, **inputs, decoder_name="untrained.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(plain.pixels, same.pixels, strict=True))
    (changed,) = run_node(nodes.ConditionalDecoder, **inputs, decoder_name="trained.safetensors")
    assert all((a - b).abs().mean() > 1e-3 for a, b in zip(plain.pixels, changed.pixels, strict=True))
    (off,) = run_node(nodes.ConditionalDecoder, **inputs, decoder_name="trained.safetensors", strength=0.0)
    assert all(torch.equal(a, b) for a, b in zip(plain.pixels, off.pixels, strict=True))


def test_a_codec_without_such_a_decoder_is_named(pack, nodes, tiny, model_patches, clip):
    save_conditional_decoder(ConditionalDecoder(ConditionalDecoderConfig(32, 32)), model_patches / "c.safetensors")
    (plan, *_) = run_node(pack["PatchPlanner"], image=clip, vae=tiny.vae, scale=4.0)
    latent = {"samples": torch.zeros(1, 192, *plan.canvas.latent_shape)}
    with pytest.raises(pack.part("patchvsr_core.errors").ModelError, match="decode without it"):
        run_node(
            nodes.ConditionalDecoder,
            vae=tiny.vae,
            latent=latent,
            plan=plan,
            source=clip,
            decoder_name="c.safetensors",
        )
