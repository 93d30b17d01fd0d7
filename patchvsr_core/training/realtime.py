"""What the trainings of the real-time networks share: each has one network, which is scored and exported alike."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..plan.target_size import SCALE
from ..realtime.upscaler import SHIPPED, FastUpscaler
from .config import TrainConfig
from .export import update_manifest
from .registry import Run, Score, TrainingTask
from .validation import validate


def realtime_task(
    name: str,
    make_task: Callable[[TrainConfig], Any],
    make_batches: Callable[[Path, TrainConfig], Dataset[Any]],
    precompute: Callable[[TrainConfig, Namespace], None],
    save: Callable[[Any, Path], None],
) -> TrainingTask:
    """How a real-time network is trained.

    Args:
        name: of the network, see :data:`realtime.upscaler.SHIPPED`.
        make_task: the task has its network as ``network``.
        make_batches: from the folder with what was precomputed.
        save: writes the network to a file.
    """

    def make_run(config: TrainConfig, options: Namespace) -> Run:
        torch.manual_seed(config.seed)
        return Run(make_task(config), make_batches(options.data, config))

    def make_score(task: Any, config: TrainConfig, options: Namespace) -> Score:
        def score(sheet: Path) -> dict[str, float]:
            return validate(FastUpscaler(task.network, device=options.device).upscale, options.validate, SCALE, sheet)

        return score

    def export(config: TrainConfig, average: dict[str, Tensor], target: Path, base: Path | None) -> None:
        task: nn.Module = make_task(config)
        task.load_state_dict(average)
        save(task.network, target / SHIPPED[name])
        update_manifest(target, config, f"config of {SHIPPED[name]}")

    return TrainingTask(name, make_run, export, precompute, make_score)
