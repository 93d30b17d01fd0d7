"""Blind degradation estimation: a small network predicts the level of noise and compression in the input.

Degradation is measured as the RMS difference from the clean clip; a clean clip has 0. The refiner is
conditioned on it: restoring a clean clip as if it were noisy costs detail, and restoring a noisy one as if it
were clean keeps the noise.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import phrase
from ..errors.finite import check_finite

UNCERTAIN_LEVELS = (0.5, 1.0)
"""Estimates up to the first level also occur for clean clips and are set to 0; from the second on they count fully."""
GAIN = 32.0
"""Gain of the high-pass input channels, which carry most of the degradation."""
MAX_FRAMES = 8
CROP_PX = 640
"""The estimate uses at most so many frames, and a centre crop of at most this side."""


def degradation_level(rms: Tensor) -> Tensor:
    """Degradation level on the logarithmic scale that the networks use: 0 when clean, 1 at an RMS of 3/255.

    Args:
        rms: RMS difference from the clean frames, which are in [0, 1].
    """
    return (1 + 255 * rms).log2() / 2


class DegradationEstimator(nn.Module):
    """Predicts :func:`degradation_level` from the mean and deviation of convolutional features over a clip."""

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(6, channels, 3),
                nn.Conv2d(channels, channels, 3, stride=2),
                nn.Conv2d(channels, 2 * channels, 3, stride=2),
            ]
        )
        self.hidden = nn.Linear(4 * channels, 32)
        self.out = nn.Linear(32, 1)

    def forward(self, source: Tensor) -> Tensor:
        """Estimate the level of a (T, 3, h, w) clip in [0, 1]; a scalar of at least 0."""
        pixels = _tile_to_size(source)
        around = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        features = torch.cat([pixels - 0.5, GAIN * (pixels - around)], 1)
        for conv in self.convs:
            features = F.relu(conv(features))
        mean, deviation = features.mean((0, 2, 3)), features.flatten(2).std(2, correction=0).mean(0)
        return F.softplus(self.out(F.relu(self.hidden(torch.cat([mean, deviation])))))[0]

    @torch.inference_mode()
    def estimate(self, source: Tensor) -> float:
        """Estimate the level of a (T, h, w, 3) clip in [0, 1], from a centre crop of some of its frames."""
        frames, height, width = source.shape[:3]
        chosen = torch.linspace(0, frames - 1, min(frames, MAX_FRAMES)).round().long()
        top, left = (max(0, (length - CROP_PX) // 2) for length in (height, width))
        part = source[chosen.to(source.device), top : top + CROP_PX, left : left + CROP_PX]
        level = self(part.movedim(-1, 1).to(self.out.weight))
        return float(check_finite(level, phrase("degradation estimator"), self))


def estimate_degradation(
    estimator: DegradationEstimator | None, source: Tensor, restore_strength: float = 1.0
) -> float:
    """Estimate the degradation level of a (T, h, w, 3) input in [0, 1], for the refiner and back-projection.

    Args:
        estimator: None to treat every input as clean.
        restore_strength: factor on the level; 0 treats the input as clean.
    """
    if estimator is None or not restore_strength:
        return 0.0
    return restore_strength * trusted_level(estimator.estimate(source))


def trusted_level(estimate: float) -> float:
    """The level that an estimate stands for: small ones occur for clean clips too, and count for little or nothing."""
    low, high = UNCERTAIN_LEVELS
    return estimate * min(1.0, max(0.0, (estimate - low) / (high - low)))


def _tile_to_size(frames: Tensor, least: int = 16) -> Tensor:
    """Repeat tiny frames until the convolutions fit."""
    repeats = [-(-least // length) for length in frames.shape[2:]]
    return frames.repeat(1, 1, *repeats)
