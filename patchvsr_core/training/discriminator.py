"""A discriminator of patches, for adversarial training of what makes the frames (the generator)."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

PREFIX = "discriminator."
"""How the names of its weights begin in the state of a task that trains one."""
SLOPE = 0.2
"""Of the leaky rectifiers."""
DISCRIMINATOR_WEIGHT = 1e-3
"""Of the discriminator's own loss in the sum: its optimizer does not notice, and gradients are clipped by the
generator's."""


class Discriminator(nn.Module):
    """Strided convolutions with spectral norm (SN-GAN, ICLR 2018): one score for every patch (pix2pix, CVPR 2017)."""

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        widths = [3, channels, 2 * channels, 2 * channels]
        convs = [nn.Conv2d(*pair, 4, stride=2, padding=1) for pair in pairwise(widths)]
        self.convs = nn.ModuleList(spectral_norm(conv) for conv in [*convs, nn.Conv2d(widths[-1], 1, 3, padding=1)])

    def forward(self, frames: Tensor) -> Tensor:
        """(N, T, H, W, 3) in [0, 1], sides of 8 px at least, to a score per patch, above 0 for real ones."""
        features = frames.flatten(0, 1).movedim(-1, 1) * 2 - 1
        for conv in self.convs[:-1]:
            features = F.leaky_relu(conv(features), SLOPE)
        return self.convs[-1](features)

    def generator_loss(self, generated: Tensor) -> Tensor:
        """What the generator minimizes; the discriminator gets no gradient from it."""
        self.requires_grad_(False).eval()
        score = self(generated)
        self.requires_grad_(True).train()
        return -score.mean()

    def discriminator_loss(self, generated: Tensor, truth: Tensor) -> Tensor:
        """What the discriminator minimizes, a hinge loss; the generator gets no gradient from it."""
        return F.relu(1 - self(truth)).mean() + F.relu(1 + self(generated.detach())).mean()


def adversarial_loss(discriminator: Discriminator, generated: Tensor, truth: Tensor, weight: float) -> Tensor:
    """Both losses in one sum: the weights of each network get the gradient of its own loss alone.

    Args:
        generated, truth: (N, T, H, W, 3) frames in [0, 1].
        weight: of the generator's loss.
    """
    # In this order: the discriminator's loss updates the estimates of its spectral norms.
    loss = weight * discriminator.generator_loss(generated)
    return loss + DISCRIMINATOR_WEIGHT * discriminator.discriminator_loss(generated, truth)


def without_discriminator(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of a task without that of its discriminator, if it has one."""
    return {name: value for name, value in weights.items() if not name.startswith(PREFIX)}
