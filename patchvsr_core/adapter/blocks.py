"""The transformer block of the branches: Wan's block at a different width.

Module names follow Wan's original checkpoint layout, so that a branch as wide as the base can be
initialised from the base's first blocks. ``ops`` supplies Linear, Conv3d, LayerNorm and RMSNorm;
ComfyUI passes its own, which manage memory and casting.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .rotary import Rope, grid_positions, rope_at, rotate


def rope_3d(grid: tuple[int, int, int], head_dim: int, device: torch.device, spacing: int = 1) -> Rope:
    """Rotary embedding of a (T, H, W) token grid.

    Args:
        spacing: distance between neighbouring tokens in units of full-resolution tokens; a merged
            token is at the centre of the tokens it replaces.
    """
    middle = (spacing - 1) / 2
    steps = torch.tensor([1, spacing, spacing], device=device)
    return rope_at(grid_positions(grid, device) * steps + torch.tensor([0, middle, middle], device=device), head_dim)


class Attention(nn.Module):
    """Multi-head attention with RMS-normalised queries and keys."""

    def __init__(self, width: int, head_dim: int, ops: Any) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.q, self.k, self.v, self.o = (ops.Linear(width, width) for _ in range(4))
        self.norm_q, self.norm_k = (ops.RMSNorm(width, eps=1e-6) for _ in range(2))

    def forward(self, x: Tensor, context: Tensor | None = None, rope: Rope | None = None) -> Tensor:
        context = x if context is None else context
        q, k = self._heads(self.norm_q(self.q(x))), self._heads(self.norm_k(self.k(context)))
        if rope is not None:
            q, k = rotate(q, rope), rotate(k, rope)
        out = F.scaled_dot_product_attention(q, k, self._heads(self.v(context)))
        return self.o(out.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (-1, self.head_dim)).transpose(1, 2)


class Block(nn.Module):
    """Self-attention, text cross-attention, feed-forward; modulated by a time embedding."""

    def __init__(self, width: int, head_dim: int, ffn: int, ops: Any) -> None:
        super().__init__()
        self.norm1 = ops.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.self_attn = Attention(width, head_dim, ops)
        self.norm3 = ops.LayerNorm(width, eps=1e-6)
        self.cross_attn = Attention(width, head_dim, ops)
        self.norm2 = ops.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.ffn = nn.Sequential(ops.Linear(width, ffn), nn.GELU(approximate="tanh"), ops.Linear(ffn, width))
        self.modulation = nn.Parameter(torch.randn(1, 6, width) / width**0.5)

    def forward(self, x: Tensor, time: Tensor, context: Tensor, rope: Rope) -> Tensor:
        """Args: x (B, L, width), time (B, 6, width), context (B, tokens, width)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation.to(time) + time).chunk(6, dim=1)
        x = x + gate1 * self.self_attn(self.norm1(x) * (1 + scale1) + shift1, rope=rope)
        x = x + self.cross_attn(self.norm3(x), context)
        return x + gate2 * self.ffn(self.norm2(x) * (1 + scale2) + shift2)
