"""What the refiner and its degradation estimator learn from, alone or together with a base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..finish.degradation import degradation_level
from ..finish.refine import Refiner
from . import losses
from .config import Objective, TrainConfig
from .discriminator import Discriminator, adversarial_loss

ESTIMATOR_RATE = 4.0
"""Learning rate of the degradation estimator, relative to the refiner's."""
LEVEL_JITTER = 0.15
"""Deviation of the error in the degradation level that the refiner is given."""


@dataclass(frozen=True, eq=False)
class CropBatch:
    """N crops of clips that were reduced by one scale factor."""

    scale: int
    truth: Tensor
    """(N, T, H, W, 3) in [0, 1]."""
    upsampled: Tensor
    """(N, T, H, W, 3) the bicubically upsampled input."""
    neighbours: Tensor
    """(N, T, H, W, 6) the upsampled frames before and after, aligned."""
    small: Tensor
    """(N, T, h, w, 3) the part of the input that shows the crop."""
    degradation: Tensor
    """(N,) root mean square of what noise and compression changed in the input."""


def refiner_loss(
    refiner: Refiner,
    objective: Objective,
    batch: CropBatch,
    decoded: Tensor,
    detail: float,
    generator: torch.Generator,
    discriminator: Discriminator | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """(loss, its readable parts) of the refiner and its degradation estimator.

    Args:
        decoded: (N, T, H, W, 3) the base's frames.
        detail: how much detail is asked for, 0 to 1.
        discriminator: used only where detail is asked for, so that detail = 0 stays the most probable picture.
    """
    level = degradation_level(batch.degradation)
    given = (level + LEVEL_JITTER * torch.randn(level.shape, generator=generator).to(level)).clamp(min=0)
    stacks = (frames.movedim(-1, 2) for frames in (decoded, batch.upsampled, batch.neighbours))
    clips = zip(*stacks, given.tolist(), strict=True)
    refined = torch.stack([refiner(*clip[:3], batch.scale, detail, clip[3]) for clip in clips])
    refined = refined.movedim(2, -1).float()
    estimate = torch.stack([refiner.estimator(clip.movedim(-1, 1)) for clip in batch.small])
    terms = {
        "result": losses.charbonnier(refined, batch.truth),
        "degradation": nn.functional.smooth_l1_loss(estimate.float(), level, beta=0.2),
    }
    loss = terms["result"] + objective.degradation_weight * terms["degradation"]
    loss = loss + losses.shape(refined, batch.truth, objective.spectrum_weight, objective.motion_weight)
    if detail:
        loss = loss + objective.detail_weight * detail * losses.detail(refined, batch.truth)
    if detail and discriminator is not None:
        weight = objective.adversarial_weight * detail
        loss = loss + adversarial_loss(discriminator, refined, batch.truth, weight)
    return loss, terms


def refiner_groups(refiner: Refiner, config: TrainConfig, first: int) -> list[dict[str, Any]]:
    """Parameters with the peak of their learning rate and the step from which they learn; the estimator's is higher."""
    estimator = list(refiner.estimator.parameters())
    rest = [p for p in refiner.parameters() if all(p is not m for m in estimator)]
    return [
        {"params": rest, "peak": config.refiner_learning_rate, "from": first},
        {"params": estimator, "peak": ESTIMATOR_RATE * config.refiner_learning_rate, "from": first},
    ]


def draw_detail(objective: Objective, generator: torch.Generator) -> float:
    """How much detail a step asks for; often none."""
    draw = torch.rand(2, generator=generator).tolist()
    return draw[1] if draw[0] < objective.detailed else 0.0
