"""3D rotary position embedding (RoPE) over time, height and width, as in Wan."""

from __future__ import annotations

import torch
from torch import Tensor

THETA = 10000.0

Rope = tuple[Tensor, Tensor]
"""Cosines and sines, each (tokens, head_dim / 2)."""


def rope_at(
    positions: Tensor,
    head_dim: int,
    axes: tuple[int, int, int] | None = None,
    thetas: tuple[float, float, float] = (THETA, THETA, THETA),
) -> Rope:
    """Rotary embedding of tokens at arbitrary positions, which may be fractional or negative.

    Args:
        positions: (tokens, 3) of (t, y, x), in tokens.
        axes: channels of a head for each of them; None: as in Wan, head_dim // 6 pairs for each spatial one.
        thetas: base of the frequencies of each.
    """
    pairs = head_dim // 6
    axes = axes or (head_dim - 4 * pairs, 2 * pairs, 2 * pairs)
    exact = positions.double() if positions.device.type != "mps" else positions.cpu().double()
    angles = []
    for axis, (size, theta) in enumerate(zip(axes, thetas, strict=True)):
        exponents = torch.arange(0, size, 2, device=exact.device, dtype=torch.float64) / size
        angles.append(torch.outer(exact[:, axis], theta**-exponents))
    turn = torch.cat(angles, dim=-1)
    return turn.cos().float().to(positions.device), turn.sin().float().to(positions.device)


def grid_positions(grid: tuple[int, int, int], device: torch.device | None = None) -> Tensor:
    """(T * H * W, 3) positions of a token grid, in the order of the tokens."""
    axes = [torch.arange(length, device=device, dtype=torch.float32) for length in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Rotate neighbouring pairs of channels of ``x`` (..., tokens, head_dim); the tables broadcast."""
    cos, sin = (table.to(x.device, x.dtype) for table in rope)
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)
