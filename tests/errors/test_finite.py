"""NaN and Inf end a run in one sentence that names network and file, never in a black film."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from small_models import random_dap
from torch import Tensor, nn

from patchvsr_core.adapter import load_adapter
from patchvsr_core.degradation import load_estimator
from patchvsr_core.errors import ModelError
from patchvsr_core.finish.refine import load_refiner, refine_frames
from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.realtime.dap import DAP, DAPConfig
from patchvsr_core.realtime.optimize import prepare
from patchvsr_core.realtime.upscaler import FastUpscaler, load_fast, load_network
from patchvsr_core.restorer import Restorer, RestorerConfig, load_restorer
from patchvsr_core.restorer.restore import restore_clip
from patchvsr_core.vae.codec import SpaceToDepth
from patchvsr_core.vae.decode import decode_tiles
from patchvsr_core.vae.encode import encode_canvas
from patchvsr_core.weights import FOLDER

SHIPPED = sorted(path.name for path in FOLDER.glob("*.safetensors"))
HARM = [float("nan"), float("inf")]
CLIP = torch.rand(2, 16, 16, 3, generator=torch.Generator().manual_seed(0))


def load_any(path: Path) -> object:
    """Load a copy of a shipped file, whichever network it holds."""
    if "base" in path.name:
        return load_models(str(path), vae=path)
    if "restorer" in path.name:
        return load_restorer(path)
    if "adapter" in path.name:
        return load_adapter(path)
    if "estimator" in path.name:
        return load_estimator(path)
    return load_refiner(path) if path.name.startswith("tiny") else load_network(path)


@torch.no_grad()
def spoil(module: nn.Module, value: float) -> None:
    """Every weight matrix gets one such number, as a broken download or half precision may leave it."""
    for parameter in module.parameters():
        parameter[(0,) * parameter.ndim] = value


@pytest.mark.parametrize("value", HARM, ids=str)
@pytest.mark.parametrize("name", [name for name in SHIPPED if "base" not in name])
def test_files_with_such_weights_do_not_load(tmp_path: Path, name: str, value: float) -> None:
    with safe_open(str(FOLDER / name), framework="pt") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    key = max(tensors)
    tensors[key].view(-1)[-1] = value
    save_file(tensors, str(tmp_path / name), metadata=metadata)
    with pytest.raises(ModelError, match=rf"{name} is damaged.*holds NaN or Inf|{name} do not fit"):
        load_any(tmp_path / name)


@pytest.mark.parametrize("value", HARM, ids=str)
@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("base", r"base model with its adapter \(tiny_base.safetensors, tiny_adapter.safetensors\)"),
        ("adapter", r"base model with its adapter \(tiny_base.safetensors, tiny_adapter.safetensors\)"),
        ("refiner", r"refiner \(tiny_refiner.safetensors\)"),
        ("estimator", r"degradation estimator \(estimator.safetensors\)"),
    ],
)
def test_the_shipped_model_names_the_network_that_fails(part: str, words: str, value: float) -> None:
    models = load_models(device="cpu")
    network = {
        "base": models.base.transformer,
        "adapter": models.adapter,
        "refiner": models.refiner.tail,
        "estimator": models.estimator,
    }[part]
    spoil(network, value)
    with pytest.raises(ModelError, match=f"The {words} returned NaN or Inf"):
        upscale(CLIP, (32, 32), models, replace(models.defaults, patch_detail=0.5))


@pytest.mark.parametrize("value", HARM, ids=str)
def test_the_conditional_refiner_is_checked(value: float) -> None:
    refiner = load_refiner(FOLDER / "tiny_conditional.safetensors")
    spoil(refiner, value)
    with pytest.raises(ModelError, match=r"refiner \(tiny_conditional.safetensors\) returned NaN"):
        refine_frames(refiner, torch.rand(2, 32, 32, 3), CLIP)


@pytest.mark.parametrize("value", HARM, ids=str)
@pytest.mark.parametrize("name", ["dap", "rdg"])
def test_real_time_networks_are_checked(name: str, value: float) -> None:
    upscaler = load_fast(name)
    spoil(upscaler.network, value)
    with pytest.raises(ModelError, match=rf"{name.upper()} network \({name}_small.safetensors\) returned NaN"):
        upscaler.upscale(CLIP)


@pytest.mark.parametrize("value", HARM, ids=str)
def test_the_restorer_is_checked(value: float) -> None:
    restorer = Restorer(RestorerConfig(channels=8, stem_blocks=1, backward_blocks=1, forward_blocks=1)).eval()
    spoil(restorer, value)
    with pytest.raises(ModelError, match="The restorer returned NaN"):
        restore_clip(restorer, CLIP)


class Broken(SpaceToDepth):
    """A codec that returns NaN."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def encode(self, frames: Tensor) -> Tensor:
        latent = super().encode(frames)
        return latent * float("nan") if self.way == "encode" else latent

    def decode(self, latent: Tensor) -> Tensor:
        return super().decode(latent) / (0.0 if self.way == "decode" else 1.0)


@torch.no_grad()
def test_codecs_are_checked_on_both_ways() -> None:
    canvas = Canvas(2, (16, 16), (32, 32))
    with pytest.raises(ModelError, match="The VAE returned NaN"):
        encode_canvas(Broken("encode"), CLIP, canvas)
    latent = encode_canvas(Broken("decode"), CLIP, canvas)
    with pytest.raises(ModelError, match="The VAE returned NaN"):
        decode_tiles(Broken("decode"), latent, canvas)
    with pytest.raises(ModelError, match="The base model returned NaN"):
        decode_tiles(SpaceToDepth(), latent * float("inf"), canvas)


def overflowing() -> DAP:
    """A network whose features exceed what half precision holds, and whose result does not."""
    network = random_dap()
    with torch.no_grad():
        network.enter.weight.mul_(1e4)
        network.enter.bias.fill_(1e4)
        network.body[0].conv1.weight.mul_(1e2)
        network.picture.weight.mul_(1e-8)
        network.hidden.weight.mul_(1e-8)
    return network


@pytest.mark.parametrize("make", [overflowing])
def test_half_precision_that_does_not_suffice_is_left_once(
    make: Callable[[], DAP], caplog: pytest.LogCaptureFixture
) -> None:
    single = FastUpscaler(prepare(make(), device="cpu"))
    half = FastUpscaler(prepare(make(), device="cpu", dtype=torch.float16), dtype=torch.float16)
    result = half.upscale(CLIP)
    assert [record.message for record in caplog.records] == [
        "DAP needs more than half precision: continuing in single precision."
    ]
    assert half.dtype == torch.float32 and result.isfinite().all()
    torch.testing.assert_close(result, single.upscale(CLIP), atol=1e-2, rtol=0)


def test_half_precision_that_suffices_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    network = prepare(DAP(DAPConfig(channels=16, features=8, levels=2, blocks=1)), device="cpu", dtype=torch.float16)
    half = FastUpscaler(network, dtype=torch.float16)
    half.upscale(CLIP)
    assert half.dtype == torch.float16 and not caplog.records


def test_training_skips_bad_steps_by_itself() -> None:
    models = load_models(device="cpu")
    spoil(models.estimator, float("nan"))
    assert models.estimator(CLIP.movedim(-1, 1)).isnan()
