"""Crops of packed footage with what a network is to be given of them: reduced, and at times damaged."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..finish.degradation import degradation_level, trusted_level
from ..plan.target_size import SCALE
from .config import DataConfig, TrainConfig
from .degrade import draw_degradation, make_input
from .packed import PackedFootage

MISJUDGED = 0.15
"""Deviation of the logarithm of the factor by which a degradation is misjudged, as the estimate of a run is."""


def begin_batch(config: TrainConfig, index: int) -> tuple[np.random.Generator, int, int, int]:
    """What batch number ``index`` is drawn with, a function of it and the seed alone.

    Returns:
        (generator, frames of a clip, side of a crop in pixels of the input, clips): ``data.batch`` clips of the longest
        kind, and more of shorter ones.
    """
    data = config.data
    rng = np.random.default_rng((config.seed, index))
    frames, side = int(rng.choice(data.frames)), int(rng.choice(data.crop_px)) // SCALE
    return rng, frames, side, max(1, data.batch * max(data.frames) // frames)


def draw_crop(
    rng: np.random.Generator, footage: PackedFootage, frames: int, side: int, scale: int
) -> tuple[Tensor, Tensor, Tensor]:
    """A clip, what is left of it at the size of the input, and the level of its degradation.

    Args:
        side: height and width in pixels of the input.

    Returns:
        (T, scale * side, scale * side, 3) and (T, side, side, 3) in [0, 1], and the level as a run would estimate it,
        see :func:`degradation.estimate_degradation`.
    """
    large = torch.from_numpy(footage.draw(rng, frames, side * scale)).float() / 255
    if rng.random() < footage.config.recoloured:
        large = large[..., rng.permutation(3)]
    return large, *_make_input(rng, large, side, footage.config)


def _make_input(rng: np.random.Generator, large: Tensor, side: int, data: DataConfig) -> tuple[Tensor, Tensor]:
    """(T, side, side, 3) of what is to be restored, and the level of its degradation."""
    if not data.degraded or rng.random() >= data.degraded:
        return make_input(large, (side, side)), torch.tensor(0.0)
    degradation = draw_degradation(rng)
    small = make_input(large, (side, side), degradation)
    clean = make_input(large, (side, side), degradation.blur_only())
    level = float(degradation_level((small - clean).square().mean().sqrt()))
    return small, torch.tensor(trusted_level(level * float(np.exp(MISJUDGED * rng.normal()))))
