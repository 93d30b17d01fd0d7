"""What the refiner learns from, alone or together with a base."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..degradation import degradation_level
from ..finish.refine import Refiner
from . import losses
from .config import Objective
from .discriminator import Discriminator, adversarial_loss

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
    """(loss, its readable parts) of the refiner.

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
    terms = {"result": losses.charbonnier(refined, batch.truth)}
    loss = terms["result"] + losses.shape(refined, batch.truth, objective.spectrum_weight, objective.motion_weight)
    if detail:
        loss = loss + objective.detail_weight * detail * losses.detail(refined, batch.truth)
    if detail and discriminator is not None:
        weight = objective.adversarial_weight * detail
        loss = loss + adversarial_loss(discriminator, refined, batch.truth, weight)
    return loss, terms


def draw_detail(objective: Objective, generator: torch.Generator) -> float:
    """How much detail a step asks for; often none."""
    draw = torch.rand(2, generator=generator).tolist()
    return draw[1] if draw[0] < objective.detailed else 0.0
