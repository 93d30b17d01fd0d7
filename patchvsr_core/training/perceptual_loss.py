"""What a loss counts of how frames look, beside the error of their pixels: LPIPS, and a discriminator's judgement.

The file of LPIPS's weights is named on the command line.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import PatchVSRError
from .config import Objective, TrainConfig
from .discriminator import Discriminator, adversarial_loss
from .perceptual import LPIPS

Distance = Callable[[Tensor, Tensor], Tensor]
"""(B, 3, H, W) pictures in [0, 1] and the truth to (B,) distances."""


def make_distance(config: TrainConfig, options: Namespace) -> Distance | None:
    """LPIPS with VGG-16; None where a configuration does without.

    Raises:
        PatchVSRError: when its weights were not named.
    """
    if not (config.objective.perceptual_weight or config.objective.compressed_perceptual_weight):
        return None
    if options.perceptual is None:
        raise PatchVSRError(
            "This configuration trains with LPIPS; name the file of its weights with --perceptual FILE, or set "
            "perceptual_weight and compressed_perceptual_weight to 0."
        )
    lpips = LPIPS(options.perceptual, "vgg16").to(options.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return lpips.forward


def distance_of_frames(distance: Distance, frames: Tensor, truth: Tensor, generator: torch.Generator) -> Tensor:
    """(N,) distance of one frame of each clip, drawn anew at every step: all of them cost more than they teach.

    Args:
        frames, truth: (N, T, 3, H, W).
    """
    clips = torch.arange(len(frames))
    drawn = torch.randint(frames.shape[1], (len(frames),), generator=generator)
    return distance(frames[clips, drawn].clamp(0, 1), truth[clips, drawn])


def appearance_loss(
    frames: Tensor,
    truth: Tensor,
    generator: torch.Generator,
    objective: Objective,
    distance: Distance | None,
    discriminator: Discriminator | None,
    compressed: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """(loss, its readable parts) of how frames look; 0 where neither judges them.

    Args:
        frames, truth: (N, T, 3, H, W) in [0, 1].
        objective: the weights of both.
        compressed: (N,) 1 for a clip that was compressed and nothing else, otherwise 0; None: no clip was.
    """
    loss, terms = frames.new_zeros(()), {}
    if distance is not None:
        weights = frames.new_full((len(frames),), objective.perceptual_weight)
        if compressed is not None:
            weights = weights + objective.compressed_perceptual_weight * compressed
        counts = weights > 0
        if counts.any():
            distances = distance_of_frames(distance, frames[counts], truth[counts], generator)
            terms["look"] = distances.mean()
            loss = loss + (weights[counts] * distances).sum() / len(frames)
    if discriminator is not None:
        planes = frames.movedim(2, -1), truth.movedim(2, -1)
        loss = loss + adversarial_loss(discriminator, *planes, objective.adversarial_weight)
    return loss, terms
