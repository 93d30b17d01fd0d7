"""The patch branch: encodes the upsampled input of a patch as a residual for every block of the base."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .blocks import Block, rope_3d
from .conditioning import zero_
from .config import AdapterConfig

TOKEN = (1, 2, 2)


def token_grid(latent: Tensor) -> tuple[int, int, int]:
    """How many tokens (N, C, t, h, w) has along its last three axes."""
    frames, height, width = latent.shape[2:]
    return frames // TOKEN[0], height // TOKEN[1], width // TOKEN[2]


class PatchBranch(nn.Module):
    """A short stack of transformer blocks whose output is added after every block of the base.

    Each base block has its own zero-initialised projection, so that an untrained branch leaves the
    base bit-exact. Source: PatchVSR (CVPR 2025), patch condition branch.
    """

    def __init__(self, config: AdapterConfig, ops: Any) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.patch_embedding = ops.Conv3d(config.base.channels, config.width, kernel_size=TOKEN, stride=TOKEN)
        self.blocks = nn.ModuleList(
            Block(config.width, config.head_dim, config.ffn, ops) for _ in range(config.patch_blocks)
        )
        self.out = nn.ModuleList(
            ops.Linear(config.width, config.base.width, bias=False) for _ in range(config.base.layers)
        )
        zero_(self.out)

    def forward(self, condition: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """(N, C, t, h, w) patch condition to (N, tokens, width)."""
        x = self.patch_embedding(condition)
        rope = rope_3d((x.shape[2], x.shape[3], x.shape[4]), self.head_dim, x.device)
        x = x.flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x, time, context, rope)
        return x

    def residual(self, block: int, tokens: Tensor) -> Tensor:
        """(N, tokens, base width) to add after one block of the base."""
        out: Tensor = self.out[block](tokens)
        return out
