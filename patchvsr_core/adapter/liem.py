"""Local gates before the self-attention of every base block.

Source: STAR (ICCV 2025), Local Information Enhancement Module, in its diffusion transformer
variant: tokens are weighted by local saliency before global attention.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .conditioning import zero_

Grid = tuple[int, int, int]
"""Tokens along T, H and W."""


class LocalGate(nn.Module):
    """A spatial gate, then a temporal one: 100 zero-initialised parameters.

    Args:
        gain: factor on the sigmoid; with zero weights, 2 leaves tokens bit-identical, and 1 halves them at each
            gate, as the weights of STAR expect.
        ops: supplies Linear and Conv2d.
    """

    def __init__(self, gain: float, ops: Any = nn) -> None:
        super().__init__()
        self.gain = gain
        self.spatial = ops.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)
        self.temporal = ops.Linear(2, 1, bias=False)
        zero_(self)

    def forward(self, tokens: Tensor, grid: Grid, strength: float = 1.0) -> Tensor:
        """Gate tokens.

        Args:
            tokens: (N, T * H * W, width).
            strength: 0 (off) to 1, linear in between.
        """
        statistics = self.statistics(tokens)
        spatial = self.spatial_gate(statistics, grid)
        # A positive factor commutes with maximum and mean, so the gated tokens need not be read again.
        gate = spatial * self.temporal_gate(spatial * statistics)
        return tokens * (gate if strength == 1 else 1 + strength * (gate - 1))

    @staticmethod
    def statistics(tokens: Tensor) -> Tensor:
        """(..., width) to (..., 2): maximum and mean over the channels."""
        return torch.stack([tokens.amax(-1), tokens.mean(-1)], dim=-1)

    def spatial_gate(self, statistics: Tensor, grid: Grid) -> Tensor:
        """(N, T * H * W, 2) statistics to (N, T * H * W, 1), from a 7 x 7 neighbourhood in the same frame."""
        planes = statistics.unflatten(1, grid).flatten(0, 1).movedim(-1, 1)
        gate: Tensor = self.gain * self.spatial(planes).sigmoid()
        return gate.reshape(len(statistics), -1, 1)

    def temporal_gate(self, statistics: Tensor) -> Tensor:
        """(..., 2) statistics to (..., 1), from the token itself."""
        gate: Tensor = self.gain * self.temporal(statistics).sigmoid()
        return gate
