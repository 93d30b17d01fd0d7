"""Which task a configuration is for, and how tasks are found."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from torch import nn

from patchvsr_core.errors import PatchVSRError
from patchvsr_core.training import registry
from patchvsr_core.training.__main__ import main
from patchvsr_core.training.config import TrainConfig, load_config
from patchvsr_core.training.export import export_run
from patchvsr_core.training.factory import make_trainer
from patchvsr_core.training.refiner_task import RefinerTask
from patchvsr_core.training.registry import Run, TrainingTask, find_task, register, task_names
from patchvsr_core.training.state import read_state
from patchvsr_core.training.trainer import Trainer

SHIPPED = sorted((Path(registry.__file__).parent / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_configuration_names_a_task(path: Path) -> None:
    config = load_config(path)
    assert find_task(config.task).name == config.task
    stated = [p for p in SHIPPED if f'task = "{config.task}"' in p.read_text()]
    assert stated, "a task is stated where it is introduced, and not guessed"


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ('extends = "tiny"', "tiny"),
        ('extends = "tiny_finish"\nrefiner_alone = true', "refiner"),
        ('extends = "tiny_finish"\nrefiner_alone = false', "tiny"),
        ('extends = "tiny_refiner"', "refiner"),
        ('extends = "tiny"\n[flow]\nshift = 3.0', "adapter"),
        ('extends = "tiny"\n[decoder]\nfeatures = 32', "decoder"),
        ('extends = "tiny"\n[dap]\nchannels = 8', "dap"),
        ('extends = "tiny"\nrdg_channels = 8', "rdg"),
        ('extends = "tiny"\ntask = "realtime"\n[dap]\nchannels = 8', "dap"),
        ('extends = "tiny"\ntask = "realtime"\nrdg_channels = 8', "rdg"),
        ('extends = "tiny"\nrdg_channels = 0', "tiny"),
        ('extends = "tiny"\n[restorer]\nchannels = 8', "restorer"),
        ('extends = "wan21_1p3b"', "adapter"),
        ('extends = "wan21_1p3b"\ntask = "tiny"', "tiny"),
    ],
)
def test_configurations_without_a_task_are_read_as_ever(tmp_path: Path, text: str, task: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    assert load_config(tmp_path / "mine.toml").task == task


def test_a_configuration_that_extends_nothing_may_leave_its_task_out(tmp_path: Path) -> None:
    sizes = "channels = 192\nwidth = 128\nlayers = 1\nffn = 64\ntext_dim = 16"
    for more, task in (("", "tiny"), ("[flow]\nshift = 2.0\n", "adapter")):
        (tmp_path / "mine.toml").write_text(f"[base]\n{sizes}\n[adapter]\nwidth = 128\n{more}")
        assert load_config(tmp_path / "mine.toml").task == task


def test_old_keys_of_tables_are_read(tmp_path: Path) -> None:
    text = 'extends = "dap_small"\n[objective]\ncritic_weight = 0.3\n[dap]\nplaces = 3'
    (tmp_path / "mine.toml").write_text(text)
    config = load_config(tmp_path / "mine.toml")
    assert config.objective.adversarial_weight == 0.3
    assert config.dap is not None and (config.dap.points, config.dap.channels) == (3, 48)


@pytest.mark.parametrize("key", ["damage_weight", "degradation_weight"])
def test_a_weight_that_means_nothing_now_is_passed_over(key: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f'extends = "tiny"\n[objective]\n{key} = 0.7')
    assert load_config(tmp_path / "mine.toml") == load_config("tiny")


def test_unknown_tasks_are_named_with_those_there_are(small: TrainConfig) -> None:
    with pytest.raises(PatchVSRError, match=r"'weather'; choose from adapter, dap, .*tiny\.$"):
        find_task("weather")


@pytest.mark.parametrize(("task", "words"), [("decoder", r"\[decoder\]"), ("restorer", r"\[restorer\]")])
def test_a_task_without_its_table_says_so(small: TrainConfig, task: str, words: str) -> None:
    with pytest.raises(PatchVSRError, match=words):
        replace(small, task=task).section(task)


def test_footage_that_needs_no_precomputing_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["precompute", "--config", "tiny", "--data", str(tmp_path), "--out", str(tmp_path)]
    assert main(arguments) == 2
    assert "continue with train" in capsys.readouterr().err


class _Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(()))

    def forward(
        self, batch: torch.Tensor, generator: torch.Generator, step: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss = (self.slope * batch - 2 * batch).square().mean()
        return loss, {"result": loss.detach()}

    def optimizer_groups(self) -> list[dict[str, object]]:
        return [{"params": [self.slope], "peak": 0.1, "from": 0}]

    def initialise(self, batches: object) -> None:
        pass


class _Numbers(torch.utils.data.Dataset[torch.Tensor]):
    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([1.0, 2.0])


class _Threads(torch.utils.data.Dataset[torch.Tensor]):
    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([float(cv2.getNumThreads())])


def test_a_worker_never_waits_for_threads_of_opencv_that_it_does_not_have(
    small: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV can hang in a process that was forked while its threads were busy; with one thread it waits for none."""
    seen: list[float] = []
    monkeypatch.setattr("patchvsr_core.training.trainer.move_batch", lambda batch, device: seen.append(batch) or batch)
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        Trainer(_Line(), _Threads(), replace(small, steps=2, validate_every=9), tmp_path / "run").run()
        assert [float(batch) for batch in seen] == [1.0, 1.0] and cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_a_new_network_is_one_registration(small: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained, validated and exported by nothing but what it registers."""
    monkeypatch.setattr(registry, "_TASKS", dict(registry._TASKS))
    monkeypatch.setattr("patchvsr_core.training.trainer.move_batch", lambda batch, device: batch)
    line = TrainingTask(
        "line",
        lambda config, options: Run(_Line(), _Numbers()),
        lambda config, average, target, base: target.write_text(str(float(average["slope"]))) and None,
        make_score=lambda task, config, options: lambda sheet: {"model": task.slope.item()},
        weights_file="line.txt",
    )
    register(line)
    assert find_task("line") is line and "line" in task_names()
    config = replace(small, task="line", steps=60, validate_every=60, warmup=1, ema=0.5)
    options = Namespace(data=None, out=tmp_path / "run", device="cpu", init=None, validate=tmp_path)
    trainer = make_trainer(config, options)
    trainer.run()
    assert '"model"' in (tmp_path / "run" / "log.jsonl").read_text()
    export_run(config, tmp_path / "run", tmp_path / "out" / "line.txt")
    assert float((tmp_path / "out" / "line.txt").read_text()) == pytest.approx(2.0, abs=0.3)


def test_states_of_earlier_versions_are_read(small: TrainConfig, tmp_path: Path) -> None:
    """The discriminator was called a critic; the refiner held the degradation estimator, at first called a meter."""
    config = replace(small, task="refiner", objective=replace(small.objective, adversarial_weight=0.1))
    task = RefinerTask(config)
    old = {name.replace("discriminator.", "critic."): value for name, value in task.state_dict().items()}
    assert any(name.startswith("critic.") for name in old)
    old |= {f"refiner.{part}.out.bias": torch.ones(1) for part in ("meter", "estimator")}
    torch.save({"step": 3, "model": old, "average": old, "optimizer": {}}, tmp_path / "state.pt")
    state = read_state(tmp_path / "state.pt")
    assert state["step"] == 3
    for part in ("model", "average"):
        RefinerTask(config).load_state_dict(state[part])


def test_the_command_line_and_exports_load_no_accelerate() -> None:
    """It is optional: without it, all but training works."""
    code = (
        "import sys; from patchvsr_core.training import __main__, export, registry\n"
        "names = registry.task_names(); assert not [n for n in sys.modules if n.endswith('_task')], sys.modules\n"
        "[registry.find_task(name) for name in names]; assert len(names) >= 6\n"
        "assert not [n for n in sys.modules if n.startswith('patchvsr_core') and n.endswith('.trainer')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
