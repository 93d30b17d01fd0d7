"""A critic of small patches: learns to tell refined frames from true ones, and the refiner to leave it in doubt."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2
SHARE = 1e-3
"""Of the critic's own loss in the sum: its optimiser does not notice, and gradients are clipped by the refiner's."""


class Critic(nn.Module):
    """Strided convolutions with spectral norm (SN-GAN, ICLR 2018): one score for every patch (pix2pix, CVPR 2017)."""

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        widths = [3, channels, 2 * channels, 2 * channels]
        convs = [nn.Conv2d(*pair, 4, stride=2, padding=1) for pair in pairwise(widths)]
        self.convs = nn.ModuleList(spectral_norm(conv) for conv in [*convs, nn.Conv2d(widths[-1], 1, 3, padding=1)])

    def forward(self, frames: Tensor) -> Tensor:
        """(N, T, H, W, 3) in [0, 1], sides of 8 px at least, to a score per patch, above 0 for true ones."""
        features = frames.flatten(0, 1).movedim(-1, 1) * 2 - 1
        for conv in self.convs[:-1]:
            features = F.leaky_relu(conv(features), SLOPE)
        return self.convs[-1](features)

    def doubt(self, refined: Tensor) -> Tensor:
        """What the refiner minimises; the critic itself learns nothing from it."""
        self.requires_grad_(False).eval()
        score = self(refined)
        self.requires_grad_(True).train()
        return -score.mean()

    def mistakes(self, refined: Tensor, truth: Tensor) -> Tensor:
        """What the critic minimises, a hinge; the refiner learns nothing from it."""
        return F.relu(1 - self(truth)).mean() + F.relu(1 + self(refined.detach())).mean()


def contest(critic: Critic, refined: Tensor, truth: Tensor, weight: float) -> Tensor:
    """Both sides' losses in one sum: each side's weights get the gradient of its own alone."""
    return weight * critic.doubt(refined) + SHARE * critic.mistakes(refined, truth)
