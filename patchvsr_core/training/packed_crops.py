"""Crops of packed footage with what a network is to be given of them: reduced, and at times damaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..finish.degradation import degradation_level, trusted_level
from ..plan.target_size import SCALE
from .config import DataConfig, TrainConfig
from .degrade import Degradation, draw_degradation, draw_h264, make_input
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
class Crop:
    """A clip of T frames, and what is left of it at the size of the input."""

    large: Tensor
    """(T, scale * h, scale * w, 3) in [0, 1]."""
    small: Tensor
    """(T, h, w, 3) in [0, 1]."""
    level: float
    """Of the degradation as a run would estimate it, see :func:`degradation.estimate_degradation`."""
    degradation: Degradation


def draw_crop(rng: np.random.Generator, footage: PackedFootage, frames: int, side: int, scale: int) -> Crop:
    """A clip of footage, reduced and at times degraded.

    Args:
        side: height and width in pixels of the input.
    """
    data = footage.config
    large = torch.from_numpy(footage.draw(rng, frames, side * scale)).float() / 255
    if rng.random() < data.recoloured:
        large = large[..., rng.permutation(3)]
    degradation = _draw_degradation(rng, data)
    small = make_input(large, (side, side), degradation)
    if degradation.is_clean:
        return Crop(large, small, 0.0, degradation)
    clean = make_input(large, (side, side), degradation.blur_only())
    level = float(degradation_level((small - clean).square().mean().sqrt()))
    return Crop(large, small, trusted_level(level * float(np.exp(MISJUDGED * rng.normal()))), degradation)


def _draw_degradation(rng: np.random.Generator, data: DataConfig) -> Degradation:
    if not data.degraded or rng.random() >= data.degraded:
        return Degradation()
    if data.compressed and rng.random() < data.compressed:
        return draw_h264(rng)
    return draw_degradation(rng)
