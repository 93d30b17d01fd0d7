"""Crops of packed footage with what a network is to be given of them: reduced, and at times damaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..degradation import degradation_level, trusted_level
from ..plan.target_size import SCALE
from .config import TrainConfig
from .degrade import Degradation, draw_degradation, make_input
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


@dataclass(frozen=True, eq=False)
class PackedCrop:
    """A clip of T frames, and what is left of it at the size of the input."""

    large: Tensor
    """(T, scale * h, scale * w, 3) in [0, 1]."""
    small: Tensor
    """(T, h, w, 3) in [0, 1]."""
    level: float
    """Of the degradation, see :func:`degradation.degradation_level`."""
    judged: float
    """The level as a run would estimate it, see :func:`degradation.estimate_degradation`."""
    degradation: Degradation


def draw_crop(rng: np.random.Generator, footage: PackedFootage, frames: int, side: int, scale: int) -> PackedCrop:
    """A clip of footage, reduced and at times degraded.

    Args:
        side: height and width in pixels of the input.
    """
    data = footage.config
    large = torch.from_numpy(footage.draw(rng, frames, side * scale)).float() / 255
    if rng.random() < data.recoloured:
        large = large[..., rng.permutation(3)]
    is_degraded = data.degraded and rng.random() < data.degraded
    degradation = draw_degradation(rng, data.compressed, data.noisy) if is_degraded else Degradation()
    small = make_input(large, (side, side), degradation)
    if degradation.is_clean:
        return PackedCrop(large, small, 0.0, 0.0, degradation)
    clean = make_input(large, (side, side), degradation.blur_only())
    level = float(degradation_level((small - clean).square().mean().sqrt()))
    judged = trusted_level(level * float(np.exp(MISJUDGED * rng.normal())))
    return PackedCrop(large, small, level, judged, degradation)
