"""The conditional decoder's training, on a small random VAE."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_models import random_vae, save

from patchvsr_core.hosts.diffusers.loading import load_vae
from patchvsr_core.training.__main__ import main
from patchvsr_core.training.config import DataConfig, TrainConfig, load_config
from patchvsr_core.training.decoder_task import FILE, DecoderTask
from patchvsr_core.training.tiny_task import Batches
from patchvsr_core.training.trainer import Trainer
from patchvsr_core.vae.conditional_decoder import ConditionalDecoderConfig, load_conditional_decoder

TOML = """
extends = "wan21_decoder"
steps = 2
warmup = 1
learning_rate = 2e-3
bfloat16 = false

[decoder]
features = 32
condition = 32

[data]
tokens = 20
crop_px = [32]
frames = [5]
"""


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(random_vae(), tmp_path_factory.mktemp("vae") / "vae.safetensors")


def test_it_is_trained_on_the_command_line(
    data: Path,
    vae: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "c.toml").write_text(TOML)
    common = ["train", "--config", str(tmp_path / "c.toml"), "--data", str(data), "--out", str(tmp_path / "run")]
    assert main(common) == 2
    assert "--vae" in capsys.readouterr().err
    assert main([*common, "--vae", str(vae)]) == 0
    trained = load_conditional_decoder(tmp_path / "run" / "weights" / FILE)
    assert trained.modulation.shift.weight.abs().sum() > 0


def test_it_learns(data: Path, vae: Path, tmp_path: Path, small: TrainConfig) -> None:
    config = replace(
        small,
        task="decoder",
        decoder=ConditionalDecoderConfig(features=32, condition=32),
        data=DataConfig(tokens=20, crop_px=(32,), frames=(5,), scales=(2,)),
        learning_rate=3e-3,
        steps=60,
        warmup=1,
        ema=0.5,
    )
    batches = Batches(data, tmp_path / "cache", config.data, 0)
    task = DecoderTask(config, load_vae(vae), config.decoder)
    run = Trainer(task, batches, config, tmp_path / "run")

    def error() -> float:
        with torch.no_grad():
            return sum(float(task(batches[k], torch.Generator().manual_seed(0), 0)[1]["result"]) for k in range(3))

    before = error()
    run.run()
    assert error() < 0.9 * before
    assert all(name.startswith("decoder.") for name in run.average)


def test_lpips_is_a_part_of_the_loss_where_it_has_a_weight(
    data: Path, vae: Path, tmp_path: Path, small: TrainConfig
) -> None:
    """With the very weight, of frames in [0, 1]; and the paper's configuration asks for the file."""
    config = replace(
        small,
        task="decoder",
        decoder=ConditionalDecoderConfig(features=32, condition=32),
        data=DataConfig(tokens=20, crop_px=(32,), frames=(5,), scales=(2,)),
        objective=replace(small.objective, perceptual_weight=0.25),
    )
    batch = Batches(data, tmp_path / "cache", config.data, 0)[0]
    seen: list[torch.Tensor] = []

    def distance(frames: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        seen.append(frames)
        return torch.full((len(frames),), 2.0) + 0 * (frames - truth).sum()

    losses = [
        DecoderTask(config, load_vae(vae), config.decoder, given)(batch, torch.Generator().manual_seed(0), 0)[0]
        for given in (None, distance)
        for _ in [torch.manual_seed(0)]
    ]
    assert float((losses[1] - losses[0]).detach()) == pytest.approx(0.25 * 2, abs=1e-5)
    assert seen[0].shape[1] == 3 and seen[0].min() >= 0 and seen[0].max() <= 1
    assert load_config("wan21_decoder_lpips").objective.perceptual_weight == 0.1
    assert load_config("wan21_decoder").decoder.temporal_blocks == 2
