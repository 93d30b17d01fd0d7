"""The adapter as a whole, and what it says about a batch of patches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .conditioning import MicroConditions, MicroEmbedding
from .config import LIEM_GAINS, AdapterConfig
from .global_branch import GlobalBranch
from .liem import Grid, LocalGate
from .lora import Lora
from .patch_branch import PatchBranch


class PatchControl:
    """What the adapter says about N patches; a host asks it block by block.

    Features are projected when asked for, so that only one block's worth of them exists.
    """

    def __init__(
        self,
        anchor: Tensor | None = None,
        *,
        adapter: Adapter | None = None,
        patch_tokens: Tensor | None = None,
        global_tokens: Tensor | None = None,
        time_delta: Tensor | None = None,
        patch_strength: float = 1.0,
        global_strength: float = 1.0,
        liem_strength: float = 1.0,
    ) -> None:
        self.anchor = anchor
        """(N, C, t, h, w) clean condition; a base that predicts residuals adds its output to it."""
        self.time_delta = time_delta
        """(N, base width) added to the base's time embedding."""
        self._adapter = adapter
        self._patch_tokens = patch_tokens
        self._global_tokens = global_tokens
        self._patch_strength = patch_strength
        self._global_strength = global_strength
        self._liem_strength = liem_strength

    def repeated(self, times: int) -> PatchControl:
        """The same patches ``times`` over, for a batch of several conditions."""
        if times == 1:
            return self
        anchor, patch_tokens, global_tokens, time_delta = (
            None if t is None else t.repeat(times, *[1] * (t.ndim - 1))
            for t in (self.anchor, self._patch_tokens, self._global_tokens, self.time_delta)
        )
        return PatchControl(
            anchor,
            adapter=self._adapter,
            patch_tokens=patch_tokens,
            global_tokens=global_tokens,
            time_delta=time_delta,
            patch_strength=self._patch_strength,
            global_strength=self._global_strength,
            liem_strength=self._liem_strength,
        )

    def residual(self, block: int) -> Tensor | None:
        """(N, tokens, base width) to add after base block ``block``."""
        if self._adapter is None or self._adapter.patch is None or self._patch_tokens is None:
            return None
        return self._adapter.patch.residual(block, self._patch_tokens) * self._patch_strength

    def global_kv(self, block: int) -> tuple[Tensor, Tensor] | None:
        """Keys and values, each (N, global tokens, base width), for the text's queries."""
        if self._adapter is None or self._adapter.global_ is None or self._global_tokens is None:
            return None
        k, v = self._adapter.global_.keys_values(block, self._global_tokens)
        return k, v * self._global_strength

    def gate(self, block: int, tokens: Tensor, grid: Grid) -> Tensor:
        """What the self-attention of base block ``block`` is to see of (N, tokens, base width)."""
        if self._adapter is None or self._adapter.liem is None or self._liem_strength == 0:
            return tokens
        gated: Tensor = self._adapter.liem[block](tokens, grid, self._liem_strength)
        return gated


class Adapter(nn.Module):
    """Patch branch, global branch, micro-conditions, local gates, LoRA and the fixed prompt.

    Args:
        config: sizes, and the base that it is made for.
        ops: supplies Linear, Conv2d, Conv3d, LayerNorm and RMSNorm (``torch.nn``, or ComfyUI's).
    """

    def __init__(self, config: AdapterConfig, ops: Any = nn) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.micro = MicroEmbedding(width, config.base.width, ops)
        self.text_embedding = nn.Sequential(
            ops.Linear(config.base.text_dim, width), nn.GELU(approximate="tanh"), ops.Linear(width, width)
        )
        self.patch = PatchBranch(config, ops) if config.patch_blocks else None
        self.global_ = GlobalBranch(config, ops) if config.global_blocks else None
        self.liem = self._gates(config, ops)
        self.lora = Lora(config) if config.lora_rank else None
        self.prompt = nn.Parameter(torch.randn(1, config.prompt_tokens, config.base.text_dim) * 0.02)
        """(1, tokens, text_dim) fixed prompt embedding, in the place of a text encoder's output."""

    def control(
        self,
        condition: Tensor,
        conditions: MicroConditions,
        *,
        anchor: Tensor | None = None,
        view: Tensor | None = None,
        location: Tensor | None = None,
        patch_strength: float = 1.0,
        global_strength: float = 1.0,
        liem_strength: float = 1.0,
    ) -> PatchControl:
        """Encode N patches.

        Args:
            condition: (N, C, t, h, w) latents of the enlarged input, noise-augmented.
            conditions: micro-conditions, (N,) each.
            anchor: the same latents without noise.
            view: (1 or N, C, t, h', w') latent of the whole video; None leaves the global branch out.
            location: (N, 1, h', w') where the patches lie in it.
            patch_strength, global_strength: 0 turns a branch off.
            liem_strength: 0 turns the local gates off, 1 is what they were trained with.
        """
        time, time_delta = self.micro(conditions, like=condition)
        context = self.text_embedding(self.prompt.to(condition)).expand(len(condition), -1, -1)
        patch_tokens = global_tokens = None
        if self.patch is not None and patch_strength != 0:
            patch_tokens = self.patch(condition, time, context)
        if self.global_ is not None and view is not None and location is not None and global_strength != 0:
            global_tokens = self.global_(view, location, time, context)
        return PatchControl(
            anchor,
            adapter=self,
            patch_tokens=patch_tokens,
            global_tokens=global_tokens,
            time_delta=time_delta,
            patch_strength=patch_strength,
            global_strength=global_strength,
            liem_strength=liem_strength,
        )

    @staticmethod
    def _gates(config: AdapterConfig, ops: Any) -> nn.ModuleList | None:
        if config.liem == "none":
            return None
        return nn.ModuleList(LocalGate(LIEM_GAINS[config.liem], ops) for _ in range(config.base.layers))
