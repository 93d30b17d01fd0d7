"""Crops for training: a piece of a large clip, and the small clip that it is to be restored from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..plan.canvas import Canvas, location_mask
from ..resample import upsample_window
from .config import DataConfig
from .degrade import Degradation, draw_degradation
from .footage import Footage
from .second_order import SecondOrder, degrade, draw_second_order

GRID_PX = 8
"""Crops lie on the cells of the codec."""


@dataclass(frozen=True, eq=False)
class Crop:
    """One square piece of a clip."""

    truth: Tensor
    """(T, side, side, 3) in [0, 1]."""
    small: Tensor
    """(T, h, w, 3) the whole input clip."""
    canvas: Canvas
    """From the input to the whole large clip."""
    top: int
    left: int
    degradation: float
    """Root mean square of what noise and compression changed in ``small``."""

    @property
    def side(self) -> int:
        return int(self.truth.shape[1])

    @property
    def window(self) -> tuple[slice, slice]:
        """(rows, columns) of the crop in the large clip."""
        return slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)

    @property
    def position(self) -> Tensor:
        """(2,) of top and left as fractions of the large clip."""
        height, width = self.canvas.target
        return torch.tensor([self.top / height, self.left / width])

    def input_crop(self) -> Tensor:
        """(T, side', side', 3) of the input that shows the crop."""
        height, width = self.canvas.source
        side = int(self.side / self.canvas.scale)
        top, left = (min(round(at / self.canvas.scale), n - side) for at, n in ((self.top, height), (self.left, width)))
        return self.small[:, top : top + side, left : left + side]

    def upsampled(self) -> Tensor:
        """(T, side, side, 3) the crop of the bicubically upsampled input."""
        return upsample_window(self.small, self.canvas, *self.window).clamp(0, 1)

    def location(self, cells: int) -> Tensor:
        """(1, cells, cells) mask of the crop in a view of the whole clip."""
        return location_mask((self.top, self.left), (self.side, self.side), self.canvas.target, (cells, cells))[None]


def draw_sizes(config: DataConfig, rng: np.random.Generator) -> tuple[int, int, int]:
    """(frames, scale, side in px) of the next crops."""
    return int(rng.choice(config.frames)), int(rng.choice(config.scales)), int(rng.choice(config.crop_px))


class Crops:
    """Draws crops from a folder of footage; what is drawn depends on the generator alone."""

    def __init__(self, folder: Path, cache: Path, config: DataConfig) -> None:
        self.footage = Footage(folder, cache, config)
        self.config = config

    def draw(self, rng: np.random.Generator, frames: int, scale: int, side: int, variants: int = 1) -> list[Crop]:
        """One crop of ``side`` px from a clip that was reduced by ``scale``, in so many ways."""
        picture = self.footage.draw(rng, frames)
        height, width = (length // (GRID_PX * scale) * GRID_PX * scale for length in picture.shape[1:3])
        picture = picture[:, :height, :width].clamp(0, 1)
        canvas = Canvas(frames, (height // scale, width // scale), (height, width))
        top, left = (int(rng.integers(0, (length - side) // GRID_PX + 1)) * GRID_PX for length in (height, width))
        truth = picture[:, top : top + side, left : left + side]
        crops = []
        for _ in range(variants):
            degradation = self._degradation(rng)
            small = degrade(picture, canvas.source, degradation)
            clean = degrade(picture, canvas.source, degradation.blur_only())
            rms = float((small - clean).square().mean().sqrt())
            crops.append(Crop(truth, small, canvas, top, left, rms))
        return crops

    def _degradation(self, rng: np.random.Generator) -> Degradation | SecondOrder:
        config = self.config
        if not (config.degraded and rng.random() < config.degraded):
            return Degradation()
        if config.second_order and rng.random() < config.second_order:
            return draw_second_order(rng)
        return draw_degradation(rng, config.compressed, config.noisy)
