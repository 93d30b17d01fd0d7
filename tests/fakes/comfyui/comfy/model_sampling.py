"""Rectified flow: what a noise level means, and how a model's output becomes a clean prediction."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def reshape_sigma(sigma: Tensor, noise_dim: int) -> Tensor:
    """One value as it is; several along the batch, broadcastable to ``noise_dim`` axes."""
    return sigma if sigma.nelement() == 1 else sigma.view(-1, *[1] * (noise_dim - 1))


class CONST:
    """The output is a velocity: noise minus clean."""

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        return noise

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        return model_input - reshape_sigma(sigma, model_output.ndim) * model_output

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False) -> Tensor:
        sigma = reshape_sigma(sigma, noise.ndim)
        return (1 - sigma) * latent_image + sigma * noise

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        return latent / (1 - reshape_sigma(sigma, latent.ndim))


class ModelSamplingDiscreteFlow(nn.Module):
    """Noise levels 0 to 1 in a thousand steps, with a shift towards high noise."""

    def __init__(self, model_config: Any = None) -> None:
        super().__init__()
        settings = model_config.sampling_settings if model_config is not None else {}
        self.set_parameters(settings.get("shift", 1.0), multiplier=settings.get("multiplier", 1000))

    def set_parameters(self, shift: float = 1.0, timesteps: int = 1000, multiplier: float = 1000) -> None:
        self.shift, self.multiplier = shift, multiplier
        levels = torch.arange(1, timesteps + 1) / timesteps
        self.register_buffer("sigmas", self.sigma(levels * multiplier))

    @property
    def sigma_max(self) -> Tensor:
        return self.sigmas[-1]

    def timestep(self, sigma: Tensor) -> Tensor:
        return sigma * self.multiplier

    def sigma(self, timestep: Any) -> Any:
        level = timestep / self.multiplier
        return self.shift * level / (1 + (self.shift - 1) * level)

    def percent_to_sigma(self, percent: float) -> float:
        return float(self.sigma((1 - min(max(percent, 0.0), 1.0)) * self.multiplier))
