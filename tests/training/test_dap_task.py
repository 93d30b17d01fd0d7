"""The training of DAP on packed footage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from clips import colors, write
from training_runs import check_learning_and_resuming

from patchvsr_core.errors import MediaError
from patchvsr_core.plan.target_size import SCALE
from patchvsr_core.realtime.dap import DAPConfig, load_dap
from patchvsr_core.training.__main__ import main
from patchvsr_core.training.config import TrainConfig, load_config
from patchvsr_core.training.dap_task import FILE, DAPTask, StreamBatches
from patchvsr_core.training.losses import charbonnier
from patchvsr_core.training.packed import pack_footage

SMALL = DAPConfig(channels=8, features=8, keys=4, levels=3, points=2, blocks=1)


def _config() -> TrainConfig:
    config = load_config("dap_small")
    data = replace(config.data, crop_px=(64,), frames=(2, 3), batch=2, degraded=0.0)
    return replace(config, data=data, dap=SMALL, steps=4, save_every=2, bfloat16=False)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        coarse = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), cv2.resize(coarse, (200, 200), interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.fixture(scope="module")
def packed(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed")
    pack_footage(photographs, out, _config().data)
    return out


def test_batches_are_functions_of_their_number(packed: Path) -> None:
    batches = StreamBatches(packed, _config())
    one, again, other = batches[5], batches[5], batches[6]
    assert torch.equal(one.truth, again.truth) and torch.equal(one.clip, again.clip)
    assert one.truth.shape != other.truth.shape or not torch.equal(one.truth, other.truth)


def test_crops_fit_their_inputs(packed: Path) -> None:
    batches = StreamBatches(packed, _config())
    for number in range(6):
        batch = batches[number]
        clips, frames = batch.clip.shape[:2]
        assert clips * frames <= 2 * 3 and batch.truth.shape == (clips, frames, 3, 64, 64)
        mean, clip = F.avg_pool2d(batch.truth.flatten(0, 1), SCALE), batch.clip.flatten(0, 1)
        assert (mean - clip).abs().mean() < 0.35 * (mean - clip.flip(-1)).abs().mean()


def test_training_lowers_the_loss_and_resumes(packed: Path, tmp_path: Path) -> None:
    config = replace(_config(), steps=30, warmup=1, learning_rate=3e-2)
    check_learning_and_resuming(DAPTask, StreamBatches(packed, config), config, tmp_path / "run")


def test_command_line(photographs: Path, tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(
        'extends = "dap_small"\nsteps = 2\nvalidate_every = 2\nbfloat16 = false\n'
        "[dap]\nchannels = 8\nfeatures = 8\nkeys = 4\nlevels = 2\npoints = 2\nblocks = 1\n"
        "[data]\ncrop_px = [64]\nframes = [2]\nbatch = 1\n"
    )
    packed, out, clips = tmp_path / "packed", tmp_path / "out", tmp_path / "clips"
    common = ["--config", str(config)]
    assert main(["precompute", *common, "--data", str(photographs), "--out", str(packed)]) == 0
    clips.mkdir()
    write(clips / "clip.mp4", colors(3, 96, 128))
    train = ["train", *common, "--data", str(packed), "--out", str(out), "--validate", str(clips)]
    assert main(train) == 0
    looked = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert 0 < looked["model"] < looked["bicubic"] + 10
    network = load_dap(out / "weights" / FILE)
    assert network.config.channels == 8 and not network.training
    again = ["train", *common, "--data", str(packed), "--out", str(tmp_path / "more"), "--init", str(out / "weights")]
    assert main(again) == 0


def test_footage_that_was_not_packed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="precompute"):
        StreamBatches(tmp_path, _config())


def test_a_new_network_starts_near_bicubic(packed: Path) -> None:
    config = replace(load_config("dap_small"), data=_config().data)
    batches = StreamBatches(packed, config)
    torch.manual_seed(0)
    task = DAPTask(config)
    task.initialise(batches)
    ratios = []
    for batch in (batches[k] for k in range(4)):
        bicubic = F.interpolate(batch.clip.flatten(0, 1), scale_factor=SCALE, mode="bicubic")
        with torch.no_grad():
            made = task(batch, torch.Generator(), 0)[1]["result"]
        ratios.append(float(made / charbonnier(bicubic, batch.truth.flatten(0, 1))))
    assert 0.9 < sum(ratios) / len(ratios) < 1.5


def test_alignment_teaches_the_offsets(packed: Path) -> None:
    config = _config()
    config = replace(config, objective=replace(config.objective, align_weight=1.0))
    batch, task = StreamBatches(packed, config)[0], DAPTask(config)
    loss, terms = task(batch, torch.Generator(), 0)
    loss.backward()
    last = task.network.get_parameter("offsets.0.2.bias").grad
    assert terms["aligned"] > 0 and last is not None and last.abs().max() > 0
    without = replace(config, objective=replace(config.objective, align_weight=0.0))
    assert "aligned" not in DAPTask(without)(batch, torch.Generator(), 0)[1]
    clip = batch.clip  # new offsets point nowhere
    torch.testing.assert_close(task.network.align(clip), clip[:, :-1], atol=1e-5, rtol=0)
