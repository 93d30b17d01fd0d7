"""Trains the restorer on packed footage: small crops of clips, with the optical flow that a run would measure."""

from __future__ import annotations

from argparse import Namespace
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..optical_flow.estimators import dis
from ..plan.target_size import SCALE
from ..restorer.network import Restorer, deepen, load_restorer, save_restorer
from ..restorer.restore import restore_clip
from ..restorer.shipped import COMPRESSED_FILE, CRISP_FILE, FILE
from . import losses
from .config import TrainConfig
from .discriminator import Discriminator, without_discriminator
from .export import update_manifest
from .initial_weights import load_part
from .packed import PackedFootage, pack_footage
from .packed_crops import begin_batch, draw_crop
from .perceptual_loss import Distance, appearance_loss, make_distance
from .registry import Run, Score, TrainingTask, register
from .validation import validate

MARGIN_PX = 16
"""Of the input, around a crop: flow is measured with it, so that motion across the crop's border is seen."""
BACKWARD_WEIGHT = 0.3
"""Of the estimate of the backward pass in the loss."""


@dataclass(frozen=True, eq=False)
class MovingBatch:
    """N crops of clips of T frames."""

    truth: Tensor
    """(N, T, 3, 4 h, 4 w) in [0, 1]."""
    clip: Tensor
    """(N, T, 3, h, w) in [0, 1]."""
    to_next: Tensor
    """(N, T - 1, 2, h, w) pixels of the input."""
    to_previous: Tensor
    degradation: Tensor
    """(N,) level as a run would estimate it, see :func:`degradation.estimate_degradation`."""
    compressed: Tensor
    """(N,) 1 for a clip that was compressed and nothing else, otherwise 0."""


class MovingBatches(Dataset[MovingBatch]):
    """Crops of packed footage; see :func:`packed_crops.begin_batch`."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        self.footage, self.config, self.flow = PackedFootage(folder, config.data), config, dis()

    def __getitem__(self, index: int) -> MovingBatch:
        rng, frames, side, count = begin_batch(self.config, index)
        crops = [self._crop(rng, frames, side) for _ in range(count)]
        return MovingBatch(*(torch.stack(part) for part in zip(*crops, strict=True)))

    def _crop(self, rng: np.random.Generator, frames: int, side: int) -> tuple[Tensor, ...]:
        """In the order of :class:`MovingBatch`, without the first axis."""
        view = side + 2 * MARGIN_PX
        crop = draw_crop(rng, self.footage, frames, view, SCALE)
        small, truth = crop.small.movedim(-1, 1), crop.large.movedim(-1, 1)
        to_next, to_previous = small.new_zeros(0, 2, view, view), small.new_zeros(0, 2, view, view)
        if frames > 1:
            to_next, to_previous = self.flow(small[:-1], small[1:]), self.flow(small[1:], small[:-1])
        middle = slice(MARGIN_PX, MARGIN_PX + side)
        wide = slice(MARGIN_PX * SCALE, (MARGIN_PX + side) * SCALE)
        cut = (x[..., middle, middle].contiguous() for x in (small, to_next, to_previous))
        told = torch.tensor(crop.judged), torch.tensor(float(crop.degradation.is_compression))
        return (truth[..., wide, wide].contiguous(), *cut, *told)


class RestorerTask(nn.Module):
    """The restorer.

    Args:
        distance: (B,) of how far two stacks of pictures, (B, 3, H, W) in [0, 1], look apart. A plain function, so that
            the weights in it are neither learned nor saved.
    """

    def __init__(self, config: TrainConfig, distance: Distance | None = None) -> None:
        super().__init__()
        self.config, self.distance = config, distance
        self.restorer = Restorer(config.section("restorer")).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = Discriminator() if config.objective.adversarial_weight else None

    def forward(self, batch: MovingBatch, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, its readable parts) of one batch."""
        made = self.restorer(batch.clip, batch.to_next, batch.to_previous, batch.degradation)
        terms = {
            "result": losses.charbonnier(made.frames, batch.truth),
            "backward": losses.charbonnier(made.backward_frames, batch.truth),
        }
        loss = terms["result"] + BACKWARD_WEIGHT * terms["backward"]
        objective = self.config.objective
        look, judged = appearance_loss(
            made.frames, batch.truth, generator, objective, self.distance, self.discriminator, batch.compressed
        )
        return loss + look, terms | judged

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """All learn alike, the discriminator too."""
        return [{"params": list(self.parameters()), "peak": self.config.learning_rate, "from": 0}]

    def initialise(self, batches: Any) -> None:
        """A new network adds little to bicubic by itself."""

    def load_weights(self, folder: Path) -> None:
        """Start from an exported network, which may have fewer blocks than the configuration.

        Raises:
            ModelError: when there is none, or it has other sizes than the configuration.
        """
        found = load_restorer(folder / FILE)
        with suppress(ValueError):  # what does not fit is named below
            found = deepen(found, self.restorer.config)
        load_part(self, "restorer", found, folder)


def _precompute(config: TrainConfig, options: Namespace) -> None:
    pack_footage(options.data, options.out, config.data)


def _make_run(config: TrainConfig, options: Namespace) -> Run:
    torch.manual_seed(config.seed)
    return Run(RestorerTask(config, make_distance(config, options)), MovingBatches(options.data, config))


def _make_score(task: RestorerTask, config: TrainConfig, options: Namespace) -> Score:
    return lambda sheet: validate(partial(restore_clip, task.restorer), options.validate, SCALE, sheet)


def _export(config: TrainConfig, average: dict[str, Tensor], target: Path, base: Path | None) -> None:
    """What learned how pictures look is the crisp end; how compressed ones look alone, that for compressed clips."""
    task = RestorerTask(config)
    task.restorer.load_state_dict({n.removeprefix("restorer."): v for n, v in without_discriminator(average).items()})
    looks = config.objective.perceptual_weight or config.objective.adversarial_weight
    file = CRISP_FILE if looks else COMPRESSED_FILE if config.objective.compressed_perceptual_weight else FILE
    save_restorer(task.restorer, target / file)
    update_manifest(target, config, f"config of {file}")


register(TrainingTask("restorer", _make_run, _export, _precompute, _make_score))
