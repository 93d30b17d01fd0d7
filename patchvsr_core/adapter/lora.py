"""LoRA: low-rank updates of the base's weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from .config import AdapterConfig


class LowRank(nn.Module):
    """Low-rank update up @ down of one weight; ``up`` is zero-initialised."""

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, inputs) / rank**0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank))


class Lora(nn.Module):
    """Low-rank updates of the configured linear layers, in every base block."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        width, ffn = config.base.width, config.base.ffn
        sizes = {"ffn.0": (width, ffn), "ffn.2": (ffn, width)}
        self.targets = config.lora_targets
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    target.replace(".", "_"): LowRank(*sizes.get(target, (width, width)), config.lora_rank)
                    for target in self.targets
                }
            )
            for _ in range(config.base.layers)
        )

    def layers(self) -> Iterator[tuple[str, LowRank]]:
        """Iterate over (layer name in Wan's original layout, update) of every adapted layer."""
        for index in range(len(self.blocks)):
            for target in self.targets:
                change = self.get_submodule(f"blocks.{index}.{target.replace('.', '_')}")
                assert isinstance(change, LowRank)
                yield f"blocks.{index}.{target}", change
