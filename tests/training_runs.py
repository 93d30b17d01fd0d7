"""What every training task must do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from patchvsr_core.training.config import TrainConfig
from patchvsr_core.training.trainer import Trainer


def check_learning_and_resuming(
    make_task: Callable[[TrainConfig], nn.Module], batches: Dataset[Any], config: TrainConfig, out: Path
) -> None:
    """The loss falls by a fifth, and a trainer that resumes is where the first one was."""

    def loss(trainer: Trainer) -> float:
        with torch.no_grad():
            losses = [trainer.task(batches[k], torch.Generator(), 0)[0] for k in range(4)]
        return float(torch.stack(losses).mean())

    torch.manual_seed(0)
    trainer = Trainer(make_task(config), batches, config, out)
    before = loss(trainer)
    trainer.run()
    assert loss(trainer) < 0.8 * before
    resumed = Trainer(make_task(config), batches, config, out)
    assert resumed.step == config.steps
    assert loss(resumed) == pytest.approx(loss(trainer), rel=1e-6)
