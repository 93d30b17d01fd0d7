"""Trains the degradation estimator on packed footage: how far is a clip from what it was?"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..degradation import FILE, DegradationEstimator, load_estimator, save_estimator
from ..plan.target_size import SCALE
from .config import TrainConfig
from .export import update_manifest
from .initial_weights import load_part
from .packed import PackedFootage, pack_footage
from .packed_crops import begin_batch, draw_crop
from .registry import Run, TrainingTask, register

TOLERANCE = 0.3
"""Error of a level from which on the loss grows no faster than the error: textures can look like noise."""


@dataclass(frozen=True, eq=False)
class LevelBatch:
    """N clips of T frames, and how degraded they are."""

    clip: Tensor
    """(N, T, 3, h, w) in [0, 1]."""
    level: Tensor
    """(N,), see :func:`degradation.degradation_level`."""


class LevelBatches(Dataset[LevelBatch]):
    """Crops of packed footage; see :func:`packed_crops.begin_batch`."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        self.footage, self.config = PackedFootage(folder, config.data), config

    def __getitem__(self, index: int) -> LevelBatch:
        rng, frames, side, count = begin_batch(self.config, index)
        crops = [draw_crop(rng, self.footage, frames, side, SCALE) for _ in range(count)]
        clip = torch.stack([crop.small.movedim(-1, 1) for crop in crops])
        return LevelBatch(clip, torch.tensor([crop.level for crop in crops]))


class EstimatorTask(nn.Module):
    """The estimator and its loss."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.estimator = DegradationEstimator()

    def forward(self, batch: LevelBatch, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, its readable parts) of one batch."""
        found = torch.stack([self.estimator(clip) for clip in batch.clip]).float()
        loss = F.huber_loss(found, batch.level, delta=TOLERANCE)
        return loss, {"error": (found - batch.level).abs().mean()}

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """All learn alike."""
        return [{"params": list(self.parameters()), "peak": self.config.learning_rate, "from": 0}]

    def initialise(self, batches: Any) -> None:
        """A new estimator starts as it is made."""

    def load_weights(self, folder: Path) -> None:
        """Start from an exported estimator.

        Raises:
            ModelError: when there is none, or it has other sizes.
        """
        load_part(self, "estimator", load_estimator(folder / FILE), folder)


def _precompute(config: TrainConfig, options: Namespace) -> None:
    pack_footage(options.data, options.out, config.data)


def _make_run(config: TrainConfig, options: Namespace) -> Run:
    torch.manual_seed(config.seed)
    return Run(EstimatorTask(config), LevelBatches(options.data, config))


def _export(config: TrainConfig, average: dict[str, Tensor], target: Path, base: Path | None) -> None:
    task = EstimatorTask(config)
    task.load_state_dict(average)
    save_estimator(task.estimator, target / FILE)
    update_manifest(target, config, f"config of {FILE}")


register(TrainingTask("estimator", _make_run, _export, _precompute))
