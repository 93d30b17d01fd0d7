"""Trains the refiner alone, on what a finished base made of footage: many times faster than all at once."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import PatchVSRError
from ..finish.refine import RefinerConfig, load_refiner, new_refiner, save_refiner
from . import losses
from .batches import move_batch
from .config import TrainConfig
from .decoded_batches import DecodedBatch, DecodedBatches, write_decoded
from .discriminator import Discriminator
from .export import update_manifest
from .initial_weights import load_part
from .pipeline_validation import score_pipeline
from .refiner_loss import draw_detail, refiner_loss
from .registry import Run, Score, TrainingTask, register
from .tiny_task import Batches, TinyDefault, pipeline_models


class RefinerTask(nn.Module):
    """The refiner, on decoded crops."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.refiner = new_refiner(config.refiner)
        self.discriminator = Discriminator() if config.objective.adversarial_weight else None

    def forward(self, batch: DecodedBatch, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, its readable parts) of one batch."""
        objective = self.config.objective
        detail = draw_detail(objective, generator)
        loss, terms = refiner_loss(self.refiner, objective, batch, batch.decoded, detail, generator, self.discriminator)
        return loss, {"base": losses.charbonnier(batch.decoded, batch.truth), **terms}

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """All learn alike, the discriminator too."""
        return [{"params": list(self.parameters()), "peak": self.config.refiner_learning_rate, "from": 0}]

    def initialise(self, batches: Any) -> None:
        """A new refiner starts as it is made: it changes nothing."""

    def load_weights(self, folder: Path) -> None:
        """Start from an exported refiner; a conditional one may start from a plain one.

        Raises:
            ModelError: when there is none, or it has other sizes than the configuration.
        """
        load_part(self, "refiner", load_refiner(_initial_file(folder, self.refiner.config)), folder)


def refiner_file(config: RefinerConfig) -> str:
    """Name of an exported refiner in its folder."""
    return {"plain": "tiny_refiner.safetensors", "conditional": "tiny_conditional.safetensors"}[config.kind]


def _initial_file(folder: Path, config: RefinerConfig) -> Path:
    """The file of the kind that the configuration asks for, or else that of a plain refiner."""
    path = folder / refiner_file(config)
    return path if path.is_file() else folder / refiner_file(RefinerConfig())


def _precompute(config: TrainConfig, options: Namespace) -> None:
    """Write the base's frames; see :func:`decoded_batches.write_decoded`.

    Raises:
        PatchVSRError: when the weights of the base were not named.
    """
    if options.weights is None:
        raise PatchVSRError("The refiner is trained on frames of a finished base; name its folder with --weights.")
    task = TinyDefault(config)
    task.load_weights(options.weights)
    task.to(options.device)
    batches = Batches(options.data, options.out / "footage", config.data, config.seed)
    numbers = range(options.first, options.first + options.samples)
    with torch.autocast(options.device, torch.bfloat16, enabled=config.bfloat16):
        write_decoded(
            batches, lambda batch: task.decode(move_batch(batch, options.device)), options.out, numbers, config.seed
        )


def _make_run(config: TrainConfig, options: Namespace) -> Run:
    torch.manual_seed(config.seed)
    return Run(RefinerTask(config), DecodedBatches(options.data, config.seed))


def _make_score(task: RefinerTask, config: TrainConfig, options: Namespace) -> Score:
    """Scores the whole tiny default with this refiner.

    Raises:
        PatchVSRError: when the weights of the base were not named.
    """
    if options.weights is None:
        raise PatchVSRError("To validate the refiner its base is needed; name its folder with --weights.")
    whole = TinyDefault(config)
    whole.load_weights(options.weights)
    whole.refiner = task.refiner
    return lambda sheet: score_pipeline(pipeline_models(whole), options.validate, sheet)


def _export(config: TrainConfig, average: dict[str, Tensor], target: Path, base: Path | None) -> None:
    task = RefinerTask(config)
    task.load_state_dict(average)
    save_refiner(task.refiner, target / refiner_file(config.refiner))
    update_manifest(target, config)


register(TrainingTask("refiner", _make_run, _export, _precompute, _make_score))
