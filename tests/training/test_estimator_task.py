"""The training of the degradation estimator on packed footage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from training_runs import check_learning_and_resuming

from patchvsr_core.degradation import FILE, load_estimator
from patchvsr_core.training.__main__ import main
from patchvsr_core.training.config import TrainConfig, load_config
from patchvsr_core.training.estimator_task import EstimatorTask, LevelBatches
from patchvsr_core.training.packed import pack_footage
from patchvsr_core.training.packed_crops import MISJUDGED, draw_crop


def _config() -> TrainConfig:
    config = load_config("estimator")
    data = replace(config.data, crop_px=(128,), frames=(1, 2), batch=2, photographs=1.0, graphics=0.0)
    return replace(config, data=data, steps=4, save_every=2)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    coarse = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "one.png"), cv2.resize(coarse, (240, 240), interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.fixture(scope="module")
def packed(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed")
    pack_footage(photographs, out, _config().data)
    return out


def test_batches_are_functions_of_their_number(packed: Path) -> None:
    batches = LevelBatches(packed, _config())
    for number in range(6):
        one, again = batches[number], batches[number]
        assert torch.equal(one.clip, again.clip) and torch.equal(one.level, again.level)
        clips, frames = one.clip.shape[:2]
        assert clips * frames == 4 and one.level.shape == (clips,)


def test_the_level_is_the_true_one_and_a_run_may_misjudge_it(packed: Path) -> None:
    footage = LevelBatches(packed, _config()).footage
    crops = [draw_crop(np.random.default_rng(seed), footage, 1, 32, 4) for seed in range(60)]
    clean = [crop for crop in crops if crop.degradation.is_clean]
    assert 5 < len(clean) < 40 and all(crop.level == crop.judged == 0 for crop in clean)
    sure = [crop for crop in crops if crop.judged >= 1]
    ratios = np.log([crop.judged / crop.level for crop in sure])
    assert 0.5 * MISJUDGED < ratios.std() < 1.5 * MISJUDGED


def test_training_lowers_the_loss_and_resumes(packed: Path, tmp_path: Path) -> None:
    config = replace(_config(), steps=120, warmup=1, learning_rate=5e-3)
    check_learning_and_resuming(EstimatorTask, LevelBatches(packed, config), config, tmp_path / "run")


def test_command_line(photographs: Path, tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text('extends = "estimator"\nsteps = 2\n[data]\ncrop_px = [64]\nframes = [1]\nbatch = 1\n')
    common = ["--config", str(config)]
    packed, out = tmp_path / "packed", tmp_path / "run"
    assert main(["precompute", *common, "--data", str(photographs), "--out", str(packed)]) == 0
    assert main(["train", *common, "--data", str(packed), "--out", str(out)]) == 0
    first = load_estimator(out / "weights" / FILE)
    manifest = json.loads((out / "weights" / "manifest.json").read_text())
    assert manifest[f"config of {FILE}"]["steps"] == 2
    task = EstimatorTask(_config())
    task.load_weights(out / "weights")
    for one, other in zip(task.estimator.parameters(), first.parameters(), strict=True):
        assert torch.equal(one, other)
