"""The global branch: encodes the whole video and the location of the patch as keys and values."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Block, rope_3d
from .conditioning import zero_
from .config import AdapterConfig
from .patch_branch import TOKEN


class GlobalBranch(nn.Module):
    """Transformer blocks, the first at full resolution and the rest at a quarter of the tokens.

    Every block of the base gets its own keys and values. The queries of its text cross-attention
    attend to them, and the two results are added. The values are zero-initialised.
    Source: PatchVSR (CVPR 2025), global context branch.
    """

    def __init__(self, config: AdapterConfig, ops: Any) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        width, base = config.width, config.base
        self.patch_embedding = ops.Conv3d(base.channels + 1, width, kernel_size=TOKEN, stride=TOKEN)
        self.blocks = nn.ModuleList(Block(width, config.head_dim, config.ffn, ops) for _ in range(config.global_blocks))
        self.merge = ops.Linear(4 * width, width)
        self.k = nn.ModuleList(ops.Linear(width, base.width) for _ in range(base.layers))
        self.norm_k = nn.ModuleList(ops.RMSNorm(base.width, eps=1e-6) for _ in range(base.layers))
        self.v = nn.ModuleList(ops.Linear(width, base.width, bias=False) for _ in range(base.layers))
        zero_(self.v)

    def forward(self, view: Tensor, location: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """Encode the video for each of N patches.

        Args:
            view: (1 or N, C, t, h, w) latent of the whole video at the size of a patch.
            location: (N, 1, h, w) mask of the patch in it.

        Returns:
            (N, about tokens / 4, width).
        """
        frames = view.shape[2]
        mask = location[:, :, None].expand(-1, -1, frames, -1, -1).to(view)
        x = self.patch_embedding(torch.cat([view.expand(len(location), -1, -1, -1, -1), mask], dim=1))
        grid = (x.shape[2], x.shape[3], x.shape[4])
        first, rest = self.blocks[0], list(self.blocks)[1:]
        x = first(x.flatten(2).transpose(1, 2), time, context, rope_3d(grid, self.head_dim, x.device))
        x, grid = self._merged(x, grid)
        rope = rope_3d(grid, self.head_dim, x.device, spacing=2)
        for block in rest:
            x = block(x, time, context, rope)
        return x

    def keys_values(self, block: int, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values for one block of the base, each (N, tokens, base width)."""
        return self.norm_k[block](self.k[block](tokens)), self.v[block](tokens)

    def _merged(self, x: Tensor, grid: tuple[int, int, int]) -> tuple[Tensor, tuple[int, int, int]]:
        """Merge 2 x 2 tokens; an odd last row or column is repeated."""
        frames, height, width = grid
        x = x.unflatten(1, grid)
        x = F.pad(x.permute(0, 4, 1, 2, 3), (0, width % 2, 0, height % 2, 0, 0), mode="replicate")
        x = x.unflatten(3, (-1, 2)).unflatten(5, (-1, 2)).permute(0, 2, 3, 5, 4, 6, 1)
        grid = (frames, x.shape[2], x.shape[3])
        return self.merge(x.flatten(4).flatten(1, 3)), grid
