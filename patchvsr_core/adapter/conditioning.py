"""Micro-conditioning on scale, crop position and the noise level of the condition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

FREQUENCIES = 256
NAMES = ("scale", "top", "left", "noise")


@dataclass(frozen=True, eq=False)
class MicroConditions:
    """Scalar conditions of N patches; every field is (N,)."""

    scale: Tensor
    """Upscaling factor."""
    top: Tensor
    """First row as a fraction of the canvas, [0, 1)."""
    left: Tensor
    """First column as a fraction of the canvas, [0, 1)."""
    noise: Tensor
    """Noise level of the condition, [0, 1]."""

    def positions(self) -> list[Tensor]:
        """The four conditions scaled to the range of diffusion timesteps, 0 to 1000."""
        return [self.scale.log2() * 250, self.top * 1000, self.left * 1000, self.noise * 1000]


class MicroEmbedding(nn.Module):
    """Sinusoidal embedding and an MLP per condition; their sum conditions the branches and the base.

    The last layer towards the base is zero-initialised: an untrained adapter does not change the
    base's time embedding.
    """

    def __init__(self, width: int, base_width: int, ops: Any) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(
            {name: nn.Sequential(ops.Linear(FREQUENCIES, width), nn.SiLU(), ops.Linear(width, width)) for name in NAMES}
        )
        self.time_projection = nn.Sequential(nn.SiLU(), ops.Linear(width, 6 * width))
        self.to_base = nn.Sequential(nn.SiLU(), ops.Linear(width, base_width))
        zero_(self.to_base[1])

    def forward(self, conditions: MicroConditions, like: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the branches' modulation (N, 6, width) and the base's time delta (N, base width)."""
        embedding: Tensor | None = None
        for network, position in zip(self.networks.values(), conditions.positions(), strict=True):
            part = network(sinusoids(position.to(like.device)).to(like.dtype))
            embedding = part if embedding is None else embedding + part
        return self.time_projection(embedding).unflatten(1, (6, -1)), self.to_base(embedding)


def sinusoids(position: Tensor) -> Tensor:
    """(N,) positions to (N, 256) cosines and sines, as in Wan's time embedding."""
    half = FREQUENCIES // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, device=position.device, dtype=torch.float32) / half)
    angles = position.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def zero_(layer: nn.Module) -> None:
    """Set all parameters of a layer to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
