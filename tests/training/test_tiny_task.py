from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import patchvsr_core
from patchvsr_core.adapter import load_adapter
from patchvsr_core.errors import MediaError, PatchVSRError
from patchvsr_core.finish.refine import load_refiner
from patchvsr_core.hosts.diffusers.loading import load_base
from patchvsr_core.training.config import TrainConfig, load_config
from patchvsr_core.training.export import export_run
from patchvsr_core.training.losses import charbonnier, motion, spectrum
from patchvsr_core.training.pca_init import principal_components, whiten_
from patchvsr_core.training.shot_filter import find_usable_shots
from patchvsr_core.training.tiny_task import Batch, Batches, TinyDefault
from patchvsr_core.training.trainer import Trainer
from patchvsr_core.training.wan_names import original_name


def trainer(config: TrainConfig, data: Path, out: Path, init: Path | None = None) -> Trainer:
    torch.manual_seed(config.seed)
    return Trainer(
        TinyDefault(config), Batches(data, out / "decoded", config.data, config.seed), config, out, init=init
    )


def test_batches_are_functions_of_seed_and_index(data: Path, tmp_path: Path, small: TrainConfig) -> None:
    batches = Batches(data, tmp_path, small.data, 0)
    for index in range(6):
        batch, again = batches[index], Batches(data, tmp_path, small.data, 0)[index]
        assert torch.equal(batch.truth, again.truth) and torch.equal(batch.upsampled, again.upsampled)
        assert batch.truth.shape == batch.upsampled.shape
        assert batch.truth.shape[2:] == (32, 32, 3)
        assert len(batch.truth) == 16 // (batch.truth.shape[1] * 4)
        assert batch.location.shape == (len(batch.truth), 1, 4, 4)
        assert batch.position.min() >= 0 and batch.position.max() < 1
        assert 0 < (batch.truth - batch.upsampled).abs().mean() < 0.2
    assert not torch.equal(Batches(data, tmp_path, small.data, 1)[0].truth[:1, :1], batches[0].truth[:1, :1])


def test_degraded_clips_differ_in_the_input_alone(data: Path, tmp_path: Path, small: TrainConfig) -> None:
    clean = Batches(data, tmp_path, small.data, 0)
    degraded_batches = Batches(data, tmp_path, replace(small.data, degraded=1.0), 0)
    further = [(degraded_batches[k].upsampled - degraded_batches[k].truth).abs().mean() for k in range(4)]
    near = [(clean[k].upsampled - clean[k].truth).abs().mean() for k in range(4)]
    assert sum(further) > sum(near)
    assert torch.equal(degraded_batches[1].upsampled, Batches(data, tmp_path, degraded_batches.config, 0)[1].upsampled)


def test_empty_folders_are_refused(tmp_path: Path, small: TrainConfig) -> None:
    with pytest.raises(MediaError, match="give a folder"):
        Batches(tmp_path, tmp_path / "cache", small.data, 0)


def test_clips_that_cannot_be_decoded_are_named(tmp_path: Path, small: TrainConfig) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(MediaError, match=r"broken\.mp4 cannot be opened as video"):
        Batches(tmp_path, tmp_path / "cache", small.data, 0)


@pytest.mark.parametrize(("text", "words"), [("steps = = 3", "no valid TOML"), ("steps = 3", "is incomplete")])
def test_unreadable_configurations(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(PatchVSRError, match=words):
        load_config(tmp_path / "mine.toml")


def test_losses() -> None:
    x = torch.rand(2, 3, 16, 16, 3)
    assert charbonnier(x, x).item() == pytest.approx(1e-3)
    assert charbonnier(x, x + 0.5).item() == pytest.approx(0.5, abs=1e-4)
    assert spectrum(x, x).item() == 0
    assert spectrum(x, x + 0.5).item() > 0
    assert motion(x, x + 0.5).item() == pytest.approx(1e-3)
    assert motion(x[:, :1], x[:, :1] + 0.5).item() == 0


def test_whitening_gives_unit_variance(data: Path, tmp_path: Path, small: TrainConfig) -> None:
    batches = Batches(data, tmp_path, small.data, 0)
    components = principal_components((batches[k].latent_upsampled() for k in range(24)), 16)
    embedding = torch.nn.Conv3d(192, 16, (1, 2, 2), (1, 2, 2))
    whiten_(embedding, components, noise=0.0)
    tokens = torch.cat([embedding(batches[k].latent_upsampled()).movedim(1, -1).reshape(-1, 16) for k in range(24)])
    torch.testing.assert_close(tokens.mean(0), torch.zeros(16), atol=0.02, rtol=0)
    torch.testing.assert_close(tokens.var(0), torch.ones(16), atol=0.05, rtol=0)


def test_training_learns_resumes_exactly_and_exports(data: Path, tmp_path: Path, small: TrainConfig) -> None:
    whole = trainer(small, data, tmp_path / "whole")
    before = {name: value.clone() for name, value in whole.task.state_dict().items()}
    whole.run()
    assert whole.step == 8
    moved = [name for name, value in whole.task.state_dict().items() if not torch.equal(value, before[name])]
    for part in ("base.", "adapter.patch", "adapter.global_", "adapter.micro", "adapter.prompt", "refiner."):
        assert any(name.startswith(part) for name in moved), part

    first = trainer(small, data, tmp_path / "parts")
    first.run(minutes=0)
    assert first.step == 1
    second = trainer(small, data, tmp_path / "parts")
    assert second.step == 1
    second.run()
    for name, value in second.task.state_dict().items():
        assert torch.equal(value, whole.task.state_dict()[name]), name

    export_run(small, tmp_path / "whole", tmp_path / "out")
    base = load_base(tmp_path / "out" / "tiny_base.safetensors")
    assert base.prediction == "residual" and base.start_noise == small.start_noise
    for name, value in whole.average.items():
        if name.startswith("base."):
            exported = base.transformer.state_dict()[name.removeprefix("base.")]
            torch.testing.assert_close(exported, value, atol=1e-2, rtol=1e-2)
    load_adapter(tmp_path / "out" / "tiny_adapter.safetensors").config.base.check_same(base.spec)
    assert load_refiner(tmp_path / "out" / "tiny_refiner.safetensors").config == small.refiner
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert set(manifest["files"]) == {f"tiny_{part}.safetensors" for part in ("base", "adapter", "refiner")}


def test_twenty_steps_learn_one_batch(data: Path, tmp_path: Path, small: TrainConfig) -> None:
    class One(Batches):
        def __getitem__(self, index: int) -> Batch:
            return super().__getitem__(0)

    objective = replace(small.objective, detailed=0.0, full_bridge=1.0)
    config = replace(small, steps=20, objective=objective, learning_rate=1e-3, refiner_learning_rate=3e-3, warmup=1)
    run = Trainer(TinyDefault(config), One(data, tmp_path / "decoded", small.data, 0), config, tmp_path)

    def error() -> float:
        with torch.no_grad():
            return float(run.task(run.batches[0], torch.Generator().manual_seed(0), 20)[1]["result"])

    before = error()
    run.run()
    assert error() < 0.8 * before


def test_the_frequency_loss_joins_before_the_far_end_of_the_bridge(
    data: Path, tmp_path: Path, small: TrainConfig
) -> None:
    batch = Batches(data, tmp_path / "decoded", small.data, 0)[0]
    joint = round(small.refiner_from * small.steps)
    for step, full_bridge, joins in ((0, 0.0, True), (joint, 0.0, True), (0, 1.0, False)):
        losses = []
        for weight in (0.0, 0.01):
            objective = replace(small.objective, full_bridge=full_bridge, frequency_weight=weight)
            torch.manual_seed(0)
            task = TinyDefault(replace(small, objective=objective))
            losses.append(task(batch, torch.Generator().manual_seed(1), step)[0])
        assert (losses[1] > losses[0]) == joins, (step, full_bridge)


def test_a_signal_to_the_whole_group_saves_the_run(data: Path, tmp_path: Path) -> None:
    """As a batch system or Ctrl-C in a shell sends it: the loop and its workers get it."""
    command = [sys.executable, "-m", "patchvsr_core.training", "train", "--config", "finetune", "--data", str(data)]
    command += ["--out", str(tmp_path), "--init", str(Path(patchvsr_core.__file__).parent / "weights")]
    process = subprocess.Popen(
        command, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    log = tmp_path / "decoded"
    for _ in range(600):
        time.sleep(0.1)
        if any(log.glob("*.npy")) and process.poll() is None and _workers(process.pid):
            break
    time.sleep(1)
    os.killpg(process.pid, signal.SIGTERM)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert 1 <= state["step"] < 60 and f"step {state['step']} of 60" in out


def _workers(parent: int) -> bool:
    children = Path(f"/proc/{parent}/task/{parent}/children")
    return not children.exists() or bool(children.read_text().strip())


def test_frozen_parts_stay(data: Path, tmp_path: Path, small: TrainConfig) -> None:
    run = trainer(replace(small, frozen=("base", "refiner"), steps=2), data, tmp_path)
    before = {name: value.clone() for name, value in run.task.state_dict().items()}
    run.run()
    moved = {
        name.split(".")[0] for name, value in run.task.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved == {"adapter"}


def test_shots_end_at_cuts_and_leave_out_what_teaches_nothing() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (4, 12, 16, 3), dtype=np.uint8)
    textures = [cv2.resize(texture, (80, 60)) for texture in small]
    moving = [np.stack([np.roll(t, 2 * k, axis=1) for k in range(6)]) for t in textures[:2]]
    moving[1] //= 3  # another brightness, as another place has
    still = np.stack([textures[2]] * 5)
    soft = np.stack([cv2.GaussianBlur(np.roll(textures[3], 2 * k, axis=1), (0, 0), 12) for k in range(6)])
    video = np.concatenate([moving[0], moving[1], still, soft])
    assert find_usable_shots(moving[0]) == [(0, 6)]
    assert find_usable_shots(still) == [] and find_usable_shots(soft) == []
    assert find_usable_shots(still[:1]) == [(0, 1)] and find_usable_shots(still[:0]) == []
    shots = find_usable_shots(np.concatenate(moving))
    assert shots == [(0, 6), (6, 12)]
    assert find_usable_shots(video)[:2] == shots
    assert find_usable_shots(video[:1]) == [(0, 1)]


def test_exported_names_are_wans(data: Path, tmp_path: Path, small: TrainConfig) -> None:
    from small_models import random_wan

    trainer(small, data, tmp_path / "run").save()
    export_run(small, tmp_path / "run", tmp_path / "out")
    ours = load_file(str(tmp_path / "out" / "tiny_base.safetensors"))
    reference = random_wan(width=128, layers=1, ffn=64, channels=192, text_dim=16)
    assert {name: tuple(t.shape) for name, t in ours.items()} == {name: tuple(t.shape) for name, t in reference.items()}
    assert original_name("blocks.3.attn2.to_out.0.bias") == "blocks.3.cross_attn.o.bias"


def test_bad_configurations_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(PatchVSRError, match="'tiny'"):
        load_config("enormous")
    (tmp_path / "c.toml").write_text("stepz = 3\n")
    with pytest.raises(PatchVSRError, match="'stepz'"):
        load_config(tmp_path / "c.toml")
    with pytest.raises(PatchVSRError, match="no training state"):
        export_run(load_config("tiny"), tmp_path, tmp_path / "out")
