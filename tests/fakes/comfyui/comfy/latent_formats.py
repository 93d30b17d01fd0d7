"""How a model's latents differ from what its VAE makes."""

from __future__ import annotations

import torch
from torch import Tensor


class LatentFormat:
    scale_factor = 1.0
    latent_channels = 4
    latent_dimensions = 2
    latent_rgb_factors: list[list[float]] | None = None
    spacial_downscale_ratio = 8
    temporal_downscale_ratio = 1

    def process_in(self, latent: Tensor) -> Tensor:
        return latent * self.scale_factor

    def process_out(self, latent: Tensor) -> Tensor:
        return latent / self.scale_factor


class Wan21(LatentFormat):
    """Sixteen channels, each with a mean and a deviation (not the real values, but as uneven)."""

    latent_channels = 16
    latent_dimensions = 3
    temporal_downscale_ratio = 4

    def __init__(self) -> None:
        self.mean = torch.linspace(-0.5, 0.5, 16).view(1, 16, 1, 1, 1)
        self.std = torch.linspace(1.0, 3.0, 16).view(1, 16, 1, 1, 1)

    def process_in(self, latent: Tensor) -> Tensor:
        return (latent - self.mean.to(latent)) / self.std.to(latent)

    def process_out(self, latent: Tensor) -> Tensor:
        return latent * self.std.to(latent) + self.mean.to(latent)
