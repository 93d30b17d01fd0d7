"""How damaged an input is by noise and compression: measured by a small network, told to the refiner.

Damage is the root mean square of what noise and compression changed in the input; a clean clip has 0.
Restoring a clean clip as if it were noisy costs detail, and a noisy one as if it were clean keeps the
noise, so the refiner wants to know.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UNCERTAIN_LEVELS = (0.5, 1.0)
"""Measured levels up to the first may be a clean clip's too, and count for nothing; from the second on, fully."""
GAIN = 32.0
"""Of what differs from its surroundings, which is where damage lies."""
MAX_FRAMES = 8
CROP_PX = 640
"""At most so many frames, and so large a part from their middle, are looked at."""


def degradation_level(rms: Tensor) -> Tensor:
    """Damage as the networks see it: 0 when clean, 1 at three levels of 255, slower beyond.

    Args:
        rms: root mean square of the damage, pictures in [0, 1].
    """
    return (1 + 255 * rms).log2() / 2


class DegradationEstimator(nn.Module):
    """Convolutions whose mean and deviation over the whole clip tell its :func:`degradation_level`."""

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
        """Level of a clip, (T, 3, h, w) in [0, 1]; a scalar, at least 0."""
        pixels = _tile_to_size(source)
        around = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        features = torch.cat([pixels - 0.5, GAIN * (pixels - around)], 1)
        for conv in self.convs:
            features = F.relu(conv(features))
        mean, deviation = features.mean((0, 2, 3)), features.flatten(2).std(2, correction=0).mean(0)
        return F.softplus(self.out(F.relu(self.hidden(torch.cat([mean, deviation])))))[0]

    @torch.inference_mode()
    def estimate(self, source: Tensor) -> float:
        """Level of an input, (T, h, w, 3) in [0, 1]."""
        frames, height, width = source.shape[:3]
        chosen = torch.linspace(0, frames - 1, min(frames, MAX_FRAMES)).round().long()
        top, left = (max(0, (length - CROP_PX) // 2) for length in (height, width))
        part = source[chosen.to(source.device), top : top + CROP_PX, left : left + CROP_PX]
        return float(self(part.movedim(-1, 1).to(self.out.weight)))


def estimate_degradation(
    estimator: DegradationEstimator | None, source: Tensor, restore_strength: float = 1.0
) -> float:
    """Damage of an input, (T, h, w, 3) in [0, 1], as the refiner and back-projection are to be told of it.

    Args:
        restore_strength: factor; 0: restore the input as if it were clean.
    """
    if estimator is None or not restore_strength:
        return 0.0
    level = estimator.estimate(source)
    low, high = UNCERTAIN_LEVELS
    return restore_strength * level * min(1.0, max(0.0, (level - low) / (high - low)))


def _tile_to_size(frames: Tensor, least: int = 16) -> Tensor:
    """Tiny pictures are repeated until the convolutions fit in."""
    repeats = [-(-least // length) for length in frames.shape[2:]]
    return frames.repeat(1, 1, *repeats)
