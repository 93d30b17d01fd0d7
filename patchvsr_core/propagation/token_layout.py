"""How a transformer lays out the tokens of its self-attention, and how it tells them where they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..adapter.rotary import THETA, rope_at, rotate


@dataclass(frozen=True)
class TokenLayout:
    """Tokens of 1 x 2 x 2 cells in order of time, height and width, with rotary positions. As it is: Wan's."""

    axes: tuple[int, int, int] | None = None
    """Channels of a head that time, height and width turn; None: split as in Wan."""
    thetas: tuple[float, float, float] = (THETA, THETA, THETA)
    is_split: bool = False
    """Whether a channel is turned with the one half a head away instead of its neighbour."""
    text_first: bool = False
    """Whether tokens of the text stand before those of the picture in the same sequence."""
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Distance of neighbouring tokens; 0 where an axis has no positions."""
    is_image: bool = False
    """Whether every frame is a row of its own."""
    can_scale: bool = False
    """Whether ComfyUI's choices of another distance reach it."""

    def turn(self, k: Tensor, positions: Tensor) -> Tensor:
        """(L, heads, head_dim) keys turned by (L, 3) positions of (t, y, x), in tokens."""
        spaced = positions * torch.tensor(self.spacing, device=positions.device)
        rope = rope_at(spaced.to(k.device), k.shape[-1], self.axes, self.thetas)
        x = k.float().transpose(0, 1)
        if self.is_split:
            x = x.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
        x = rotate(x, rope)
        if self.is_split:
            x = x.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)
        return x.transpose(0, 1).to(k.dtype)


WAN_TOKENS = TokenLayout(can_scale=True)
