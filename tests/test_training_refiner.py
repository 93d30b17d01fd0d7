from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training import data, small  # noqa: F401 (fixtures)

from patchvsr_core.errors import PatchVSRError
from patchvsr_core.refine import load_refiner
from patchvsr_core.training.__main__ import main
from patchvsr_core.training.config import TrainConfig
from patchvsr_core.training.export import export_run
from patchvsr_core.training.refining import DecodedBatches, RefinerTask, _turned, write_decoded
from patchvsr_core.training.tiny import Batches, TinyDefault
from patchvsr_core.training.trainer import Trainer


@pytest.fixture
def kept(data: Path, tmp_path: Path, small: TrainConfig) -> Path:  # noqa: F811
    config = replace(small.data, degraded=0.5)
    batches = Batches(data, tmp_path / "footage", config, 0)
    write_decoded(batches, TinyDefault(small).decode, tmp_path / "kept", range(3), 0)
    return tmp_path / "kept"


def test_kept_batches_are_the_batches(kept: Path, data: Path, small: TrainConfig) -> None:  # noqa: F811
    batches = Batches(data, kept / "footage", replace(small.data, degraded=0.5), 0)
    found = [DecodedBatches(kept, 0)[k] for k in range(3)]
    again = [DecodedBatches(kept, 0)[k] for k in range(3)]
    for one, other in zip(found, again, strict=True):
        assert torch.equal(one.truth, other.truth) and torch.equal(one.neighbours, other.neighbours)
        # An untrained base gives the enlarged input back, but for the start noise; half precision was kept.
        assert (one.decoded - one.enlarged).abs().max() < 0.1
        original = min((batches[k] for k in range(3)), key=lambda b: abs(float(b.truth.mean() - one.truth.mean())))
        assert one.scale == original.scale and torch.equal(one.damage, original.damage)
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
    turned = _turned("neighbours", stored, np.array([True, False, True, True]))
    picture = _turned("truth", frames, np.array([True, False, True, True]))
    torch.testing.assert_close(turned[:, 1:, ..., :3], picture[:, :-1])
    torch.testing.assert_close(turned[:, :-1, ..., 3:], picture[:, 1:])


def test_the_refiner_learns_alone(kept: Path, tmp_path: Path, small: TrainConfig) -> None:  # noqa: F811
    objective = replace(small.objective, detailed=0.0)
    config = replace(
        small, refiner_alone=True, objective=objective, steps=120, refiner_learning_rate=1e-2, warmup=1, ema=0.5
    )
    run = Trainer(RefinerTask(config), DecodedBatches(kept, 0), config, tmp_path / "run")

    def errors() -> dict[str, float]:
        with torch.no_grad():
            parts = [run.task(run.batches[k], torch.Generator().manual_seed(0), 0)[1] for k in range(3)]
        return {name: sum(float(part[name]) for part in parts) for name in ("result", "damage")}

    before = errors()
    run.run()
    after = errors()
    assert after["result"] < 0.98 * before["result"] and after["damage"] < 0.6 * before["damage"]
    export_run(config, tmp_path / "run", tmp_path / "out")
    assert load_refiner(tmp_path / "out" / "tiny_refiner.safetensors").config == small.refiner
    fresh = RefinerTask(config)
    fresh.load_weights(tmp_path / "out")
    for name, value in fresh.state_dict().items():
        torch.testing.assert_close(value, run.average[name], atol=1e-2, rtol=1e-2)


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
