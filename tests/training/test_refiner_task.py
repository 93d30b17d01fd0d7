from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from patchvsr_core.errors import ModelError, PatchVSRError
from patchvsr_core.finish.conditional_refiner import ConditionalRefiner
from patchvsr_core.finish.refine import Refiner, RefinerConfig, load_refiner, save_refiner
from patchvsr_core.training.__main__ import main
from patchvsr_core.training.config import TrainConfig
from patchvsr_core.training.decoded_batches import DecodedBatches, augment, write_decoded
from patchvsr_core.training.discriminator import Discriminator
from patchvsr_core.training.export import export_run
from patchvsr_core.training.refiner_loss import refiner_loss
from patchvsr_core.training.refiner_task import RefinerTask
from patchvsr_core.training.tiny_task import Batches, TinyDefault
from patchvsr_core.training.trainer import Trainer


@pytest.fixture
def kept(data: Path, tmp_path: Path, small: TrainConfig) -> Path:
    config = replace(small.data, degraded=0.5)
    batches = Batches(data, tmp_path / "footage", config, 0)
    write_decoded(batches, TinyDefault(small).decode, tmp_path / "kept", range(3), 0)
    return tmp_path / "kept"


def test_kept_batches_are_the_batches(kept: Path, data: Path, small: TrainConfig) -> None:
    batches = Batches(data, kept / "footage", replace(small.data, degraded=0.5), 0)
    found = [DecodedBatches(kept, 0)[k] for k in range(3)]
    again = [DecodedBatches(kept, 0)[k] for k in range(3)]
    for one, other in zip(found, again, strict=True):
        assert torch.equal(one.truth, other.truth) and torch.equal(one.neighbours, other.neighbours)
        # An untrained base returns the upsampled input, but for the start noise; half precision was kept.
        assert (one.decoded - one.upsampled).abs().max() < 0.1
        original = min((batches[k] for k in range(3)), key=lambda b: abs(float(b.truth.mean() - one.truth.mean())))
        assert one.scale == original.scale and torch.equal(one.degradation, original.degradation)
        torch.testing.assert_close(one.truth.mean(), original.truth.mean(), atol=2e-3, rtol=0)
        torch.testing.assert_close(one.small.mean(), original.small.mean(), atol=2e-3, rtol=0)


def test_every_kept_batch_is_seen_once_an_epoch(kept: Path) -> None:
    batches = DecodedBatches(kept, 0)
    for epoch in range(2):
        means = [round(float(batches[3 * epoch + k].truth.mean()), 5) for k in range(3)]
        assert len(set(means)) == 3


def test_turning_keeps_neighbours_in_their_place() -> None:
    frames = torch.rand(1, 4, 6, 6, 3)
    before, after = (frames[:, [0, 0, 1, 2]], frames[:, [1, 2, 3, 3]])
    stored = torch.cat([before, after], -1)
    turned = augment("neighbours", stored, np.array([True, False, True, True]))
    picture = augment("truth", frames, np.array([True, False, True, True]))
    torch.testing.assert_close(turned[:, 1:, ..., :3], picture[:, :-1])
    torch.testing.assert_close(turned[:, :-1, ..., 3:], picture[:, 1:])


def test_the_refiner_learns_alone(kept: Path, tmp_path: Path, small: TrainConfig) -> None:
    objective = replace(small.objective, detailed=0.0)
    config = replace(
        small, task="refiner", objective=objective, steps=120, refiner_learning_rate=1e-2, warmup=1, ema=0.5
    )
    run = Trainer(RefinerTask(config), DecodedBatches(kept, 0), config, tmp_path / "run")

    def error() -> float:
        with torch.no_grad():
            parts = [run.task(run.batches[k], torch.Generator().manual_seed(0), 0)[1] for k in range(3)]
        return sum(float(part["result"]) for part in parts)

    before = error()
    run.run()
    assert error() < 0.98 * before
    export_run(config, tmp_path / "run", tmp_path / "out")
    assert load_refiner(tmp_path / "out" / "tiny_refiner.safetensors").config == small.refiner
    fresh = RefinerTask(config)
    fresh.load_weights(tmp_path / "out")
    for name, value in fresh.state_dict().items():
        torch.testing.assert_close(value, run.average[name], atol=1e-2, rtol=1e-2)


def test_a_conditional_refiner_starts_from_a_plain_one_and_learns(
    kept: Path,
    tmp_path: Path,
    small: TrainConfig,
) -> None:
    plain = Refiner(small.refiner)
    torch.nn.init.normal_(plain.tail.weight, std=0.01)
    (tmp_path / "plain").mkdir()
    save_refiner(plain, tmp_path / "plain" / "tiny_refiner.safetensors", torch.float32)
    config = replace(
        small,
        refiner=replace(small.refiner, kind="conditional"),
        objective=replace(small.objective, detailed=1.0, adversarial_weight=0.01),
        task="refiner",
        steps=4,
        refiner_learning_rate=1e-2,
        warmup=1,
        ema=0.5,
    )
    task = RefinerTask(config)
    run = Trainer(task, DecodedBatches(kept, 0), config, tmp_path / "run", init=tmp_path / "plain")
    for name, value in plain.state_dict().items():
        assert torch.equal(task.refiner.state_dict()[name], value), name
    before = {name: value.clone() for name, value in task.named_parameters()}
    run.run()
    moved = {name.split(".")[1] for name, value in task.named_parameters() if not torch.equal(value, before[name])}
    assert {"blocks", "modulations", "condition", "stem", "convs"} <= moved
    again = Trainer(RefinerTask(config), DecodedBatches(kept, 0), config, tmp_path / "run")
    assert again.step == 4
    for (name, one), other in zip(task.state_dict().items(), again.task.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    export_run(config, tmp_path / "run", tmp_path / "out")
    exported = load_refiner(tmp_path / "out" / "tiny_conditional.safetensors")
    assert isinstance(exported, ConditionalRefiner)
    fresh = RefinerTask(config)
    fresh.load_weights(tmp_path / "out")
    assert torch.equal(fresh.refiner.modulations[0].scale.weight, exported.modulations[0].scale.weight)


def test_other_sizes_are_named(tmp_path: Path, small: TrainConfig) -> None:
    save_refiner(Refiner(RefinerConfig(channels=24, blocks=2)), tmp_path / "tiny_refiner.safetensors")
    with pytest.raises(ModelError, match="other sizes"):
        RefinerTask(replace(small, refiner=replace(small.refiner, kind="conditional"))).load_weights(tmp_path)


def test_generator_and_discriminator_each_learn_from_their_own_loss() -> None:
    torch.manual_seed(0)
    discriminator, truth = Discriminator(), torch.rand(1, 2, 32, 32, 3)
    refined = torch.rand(1, 2, 32, 32, 3, requires_grad=True)
    discriminator.generator_loss(refined).backward()
    assert refined.grad.abs().sum() > 0 and all(p.grad is None for p in discriminator.parameters())
    refined.grad = None
    discriminator.discriminator_loss(refined, truth).backward()
    assert refined.grad is None and all(p.grad is not None for p in discriminator.parameters())


def test_the_discriminator_learns_to_tell_smooth_from_crisp() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(8)
    optimizer = torch.optim.AdamW(discriminator.parameters(), lr=1e-2)
    crisp = torch.rand(4, 1, 32, 32, 3)
    smooth = crisp.movedim(-1, 2).flatten(0, 1)
    smooth = torch.nn.functional.avg_pool2d(smooth, 3, 1, 1).unflatten(0, (4, 1)).movedim(2, -1)
    first = discriminator.discriminator_loss(smooth, crisp).item()
    for _ in range(30):
        optimizer.zero_grad()
        loss = discriminator.discriminator_loss(smooth, crisp)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * first
    with torch.no_grad():
        assert discriminator.generator_loss(crisp) < discriminator.generator_loss(smooth)


def test_the_discriminator_is_used_only_where_detail_is_asked_for(kept: Path, small: TrainConfig) -> None:
    torch.manual_seed(0)
    objective = replace(small.objective, adversarial_weight=0.5)
    refiner, discriminator, batch = Refiner(small.refiner), Discriminator(8), DecodedBatches(kept, 0)[0]

    def loss(detail: float, used: Discriminator | None) -> float:
        generator = torch.Generator().manual_seed(0)
        return refiner_loss(refiner, objective, batch, batch.decoded, detail, generator, used)[0].item()

    assert loss(0.0, discriminator) == loss(0.0, None)
    assert loss(1.0, discriminator) != loss(1.0, None)


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--config", "tiny_refiner", "--data", str(tmp_path), "--out", str(tmp_path)]
    assert main(["precompute", *common]) == 2
    assert "--weights" in capsys.readouterr().err
    assert main(["train", *common]) == 2
    assert "run precompute" in capsys.readouterr().err
    assert main(["precompute", "--config", "wan21_1p3b", *common[2:]]) == 2
    assert "--vae" in capsys.readouterr().err
    with pytest.raises(PatchVSRError, match="run precompute"):
        DecodedBatches(tmp_path, 0)
