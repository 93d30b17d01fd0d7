"""Trains the refiner alone, on what a finished base made of footage: many times faster than all at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from ..errors import ModelError, PatchVSRError
from ..files import write_tensors
from ..finish.conditional_refiner import ConditionalRefiner
from ..finish.degradation import damage_level
from ..finish.refine import Refiner, RefinerConfig, load_refiner, new_refiner
from . import losses
from .config import Objective, TrainConfig
from .discriminator import Critic, contest

INDEX = "decoded.json"
METER_RATE = 4.0
"""Learning rate of the meter, relative to the refiner's."""
DAMAGE_JITTER = 0.15
"""Deviation of the error in what the refiner is told of the damage."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """What the refiner learns from: N crops of clips that were enlarged by one scale factor."""

    scale: int
    truth: Tensor
    """(N, T, H, W, 3) in [0, 1]."""
    enlarged: Tensor
    """(N, T, H, W, 3) the bicubically enlarged input."""
    neighbours: Tensor
    """(N, T, H, W, 6) the enlarged frames before and after, aligned."""
    small: Tensor
    """(N, T, h, w, 3) the input about where the crop is."""
    damage: Tensor
    """(N,) root mean square of what noise and compression changed in the input."""


@dataclass(frozen=True, eq=False)
class Decoded(Pieces):
    """Crops as the refiner gets them."""

    decoded: Tensor
    """(N, T, H, W, 3) the base's frames."""


def refining_loss(
    refiner: Refiner,
    objective: Objective,
    pieces: Pieces,
    decoded: Tensor,
    detail: float,
    generator: torch.Generator,
    critic: Critic | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """(loss, its readable parts) of the refiner and its meter.

    Args:
        decoded: (N, T, H, W, 3) the base's frames.
        detail: how much detail is asked for, 0 to 1.
        critic: heard only where detail is asked for, so that detail = 0 stays the most probable picture.
    """
    level = damage_level(pieces.damage)
    told = (level + DAMAGE_JITTER * torch.randn(level.shape, generator=generator).to(level)).clamp(min=0)
    stacks = (frames.movedim(-1, 2) for frames in (decoded, pieces.enlarged, pieces.neighbours))
    clips = zip(*stacks, told.tolist(), strict=True)
    refined = torch.stack([refiner(*clip[:3], pieces.scale, detail, clip[3]) for clip in clips])
    refined = refined.movedim(2, -1).float()
    measured = torch.stack([refiner.meter(clip.movedim(-1, 1)) for clip in pieces.small])
    terms = {
        "result": losses.charbonnier(refined, pieces.truth),
        "damage": nn.functional.smooth_l1_loss(measured.float(), level, beta=0.2),
    }
    loss = terms["result"] + objective.damage_weight * terms["damage"]
    loss = loss + losses.shape(refined, pieces.truth, objective.spectrum_weight, objective.motion_weight)
    if detail:
        loss = loss + objective.detail_weight * detail * losses.detail(refined, pieces.truth)
    if detail and critic is not None:
        loss = loss + contest(critic, refined, pieces.truth, objective.critic_weight * detail)
    return loss, terms


def refiner_groups(refiner: Refiner, config: TrainConfig, first: int) -> list[dict[str, Any]]:
    """Parameters with the peak of their learning rate and the step from which they learn; the meter learns faster."""
    meter = list(refiner.meter.parameters())
    rest = [p for p in refiner.parameters() if all(p is not m for m in meter)]
    return [
        {"params": rest, "peak": config.refiner_learning_rate, "from": first},
        {"params": meter, "peak": METER_RATE * config.refiner_learning_rate, "from": first},
    ]


def drawn_detail(objective: Objective, generator: torch.Generator) -> float:
    """How much detail a step asks for; often none."""
    draw = torch.rand(2, generator=generator).tolist()
    return draw[1] if draw[0] < objective.detailed else 0.0


class RefinerTask(nn.Module):
    """The refiner, on decoded crops."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.refiner = new_refiner(config.refiner)
        self.critic = Critic() if config.objective.critic_weight else None

    def forward(self, batch: Decoded, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, its readable parts) of one batch."""
        objective = self.config.objective
        detail = drawn_detail(objective, generator)
        loss, terms = refining_loss(self.refiner, objective, batch, batch.decoded, detail, generator, self.critic)
        return loss, {"base": losses.charbonnier(batch.decoded, batch.truth), **terms}

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """See :func:`refiner_groups`; the critic learns at the refiner's rate."""
        groups = refiner_groups(self.refiner, self.config, 0)
        if self.critic is not None:
            peak = self.config.refiner_learning_rate
            groups.append({"params": list(self.critic.parameters()), "peak": peak, "from": 0})
        return groups

    def initialise(self, batches: Any) -> None:
        """A new refiner starts as it is made: it changes nothing."""

    def load_weights(self, folder: Path) -> None:
        """Start from an exported refiner; a conditional one may start from a plain one.

        Raises:
            ModelError: when there is none, or it has other sizes than the configuration.
        """
        load_part(self, "refiner", load_refiner(_start(folder, self.refiner.config)), folder)


def _start(folder: Path, config: RefinerConfig) -> Path:
    """The file of the kind that the configuration asks for, or else that of a plain refiner."""
    path = folder / refiner_file(config)
    return path if path.is_file() else folder / refiner_file(RefinerConfig())


def refiner_file(config: RefinerConfig) -> str:
    """Name of an exported refiner in its folder."""
    return {"plain": "tiny_refiner.safetensors", "conditional": "tiny_conditional.safetensors"}[config.kind]


def load_part(task: nn.Module, name: str, part: nn.Module, folder: Path) -> None:
    """Copy the weights of an exported part; a variant with more parts keeps its own where the file has none.

    Raises:
        ModelError: when it has other sizes than the configuration.
    """
    target = task.get_submodule(name)
    try:
        if isinstance(target, ConditionalRefiner) and type(part) is Refiner:
            target.start_from(part)
        else:
            target.load_state_dict(part.state_dict())
    except RuntimeError as error:
        raise ModelError(
            f"The {name} in {folder} has other sizes than the configuration; use the one it was trained with."
        ) from error


def write_decoded(batches: Any, decode: Any, out: Path, numbers: Sequence[int], seed: int) -> None:
    """Keep batches with the base's frames; files that are there already stay.

    Args:
        batches: batch number k must be a function of k alone.
        decode: gives the base's frames of a batch, shaped as its truth.
    """
    folder = out / "batches"
    folder.mkdir(parents=True, exist_ok=True)
    for number in tqdm(numbers, unit="batch", mininterval=10):
        path = folder / f"{number:07d}.safetensors"
        if path.is_file():
            continue
        batch = batches[number]
        exact = {"enlarged": batch.enlarged, "decoded": decode(batch)}
        levels = {"truth": batch.truth, "neighbours": batch.neighbours, "small": batch.small}
        tensors = {
            "scale": torch.tensor(batch.scale),
            "damage": batch.damage,
            **{name: value.half() for name, value in exact.items()},
            **{name: (value.clamp(0, 1) * 255).round().to(torch.uint8) for name, value in levels.items()},
        }
        write_tensors(path, tensors)
    (out / INDEX).write_text(json.dumps({"seed": seed}) + "\n")


class DecodedBatches(Dataset[Decoded]):
    """Kept batches, mirrored and turned; batch number k is a pure function of the seed and k."""

    def __init__(self, folder: Path, seed: int) -> None:
        if not (folder / INDEX).is_file():
            raise PatchVSRError(f"{folder} holds no decoded batches; run precompute with this --out first.")
        self.files, self.seed = sorted((folder / "batches").glob("*.safetensors")), seed

    def __getitem__(self, index: int) -> Decoded:
        epoch, place = divmod(index, len(self.files))
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.files))
        turns = np.random.default_rng((self.seed, epoch, place)).random(4) < 0.5
        tensors = load_file(str(self.files[order[place]]))
        scale = int(tensors.pop("scale"))
        damage = tensors.pop("damage")
        return Decoded(scale=scale, damage=damage, **{name: _turned(name, v, turns) for name, v in tensors.items()})


def _turned(name: str, stored: Tensor, turns: np.ndarray) -> Tensor:
    """(N, T, H, W, C) as floats, at random mirrored in time and space and turned."""
    frames = stored.float() / 255 if stored.dtype == torch.uint8 else stored.float()
    in_time, vertically, horizontally, across = turns.tolist()
    axes = [axis for axis, wanted in ((1, in_time), (2, vertically), (3, horizontally)) if wanted]
    frames = frames.flip(axes) if axes else frames
    frames = frames.transpose(2, 3) if across else frames
    if name == "neighbours" and in_time:
        frames = frames.roll(3, dims=-1)  # what was before comes after
    return frames.contiguous()
