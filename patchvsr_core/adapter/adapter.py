"""The adapter, and its control of the base model for a batch of patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .conditioning import MicroConditions, MicroEmbedding
from .config import LIEM_GAINS, AdapterConfig
from .global_branch import GlobalBranch
from .liem import Grid, LocalGate
from .lora import Lora
from .patch_branch import PatchBranch


@dataclass(frozen=True, eq=False)
class Features:
    """Outputs of the branches for N patches; they depend on content and position, not on the denoising step."""

    time_delta: Tensor
    """(N, base width), added to the base's time embedding."""
    patch: Tensor | None = None
    """(N, tokens, width) output of the patch branch."""
    global_: Tensor | None = None
    """(N, global tokens, width) output of the global branch."""

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in (self.time_delta, self.patch, self.global_) if tensor is not None)

    def select(self, patch: int) -> Features:
        """The features of one patch, N = 1; copied if there are others, so that their memory can be freed."""
        if len(self.time_delta) == 1:
            return self
        one = slice(patch, patch + 1)
        of_branches = (None if tokens is None else tokens[one].clone() for tokens in (self.patch, self.global_))
        return Features(self.time_delta[one].clone(), *of_branches)

    def repeat(self, times: int) -> Features:
        """The same patches, repeated ``times`` times."""
        return concat_features([self] * times)


def concat_features(parts: Sequence[Features]) -> Features:
    """Concatenate the features of several batches of patches."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    patch = None if first.patch is None else torch.cat([part.patch for part in parts if part.patch is not None])
    global_ = None if first.global_ is None else torch.cat([p.global_ for p in parts if p.global_ is not None])
    return Features(torch.cat([part.time_delta for part in parts]), patch, global_)


@dataclass(frozen=True)
class Strengths:
    """Strength of each part of an adapter; 0 is off, 1 is as trained."""

    patch: float = 1.0
    global_: float = 1.0
    liem: float = 1.0


class PatchControl:
    """Control signals of the adapter for N patches, which a host queries block by block.

    Features are projected on demand, so that only those of one block exist at a time.

    Args:
        anchor: (N, C, t, h, w) clean condition, to which a base that predicts residuals adds its output.
    """

    def __init__(
        self,
        anchor: Tensor | None = None,
        adapter: Adapter | None = None,
        features: Features | None = None,
        strengths: Strengths = Strengths(),
    ) -> None:
        self.anchor = anchor
        self._adapter, self._features, self._strengths = adapter, features, strengths

    @property
    def time_delta(self) -> Tensor | None:
        """(N, base width) added to the base's time embedding."""
        return None if self._features is None else self._features.time_delta

    def repeat(self, times: int) -> PatchControl:
        """The same patches, repeated ``times`` times for a batch of several conditions."""
        if times == 1:
            return self
        anchor = None if self.anchor is None else self.anchor.repeat(times, *[1] * (self.anchor.ndim - 1))
        features = None if self._features is None else self._features.repeat(times)
        return PatchControl(anchor, self._adapter, features, self._strengths)

    def residual(self, block: int) -> Tensor | None:
        """(N, tokens, base width) to add to the output of base block ``block``."""
        if self._adapter is None or self._adapter.patch is None:
            return None
        if self._features is None or self._features.patch is None:
            return None
        return self._adapter.patch.residual(block, self._features.patch) * self._strengths.patch

    def global_kv(self, block: int) -> tuple[Tensor, Tensor] | None:
        """Keys and values, each (N, global tokens, base width), for the text's queries."""
        if self._adapter is None or self._adapter.global_ is None:
            return None
        if self._features is None or self._features.global_ is None:
            return None
        k, v = self._adapter.global_.keys_values(block, self._features.global_)
        return k, v * self._strengths.global_

    def gate(self, block: int, tokens: Tensor, grid: Grid) -> Tensor:
        """Gate the (N, tokens, base width) input of the self-attention of base block ``block``."""
        if self._adapter is None or self._adapter.liem is None or self._strengths.liem == 0:
            return tokens
        gated: Tensor = self._adapter.liem[block](tokens, grid, self._strengths.liem)
        return gated


class Adapter(nn.Module):
    """Patch branch, global branch, micro-conditioning, local gates, LoRA and a fixed prompt.

    Args:
        config: sizes, including those of the base model.
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
        """(1, tokens, text_dim) learned prompt embedding, used instead of a text encoder's output."""

    def control(
        self,
        condition: Tensor,
        conditions: MicroConditions,
        *,
        anchor: Tensor | None = None,
        view: Tensor | None = None,
        location: Tensor | None = None,
        strengths: Strengths = Strengths(),
    ) -> PatchControl:
        """Encode N patches, see :meth:`features`.

        Args:
            anchor: clean latents of the patches.
        """
        features = self.features(condition, conditions, view=view, location=location, strengths=strengths)
        return PatchControl(anchor, self, features, strengths)

    def features(
        self,
        condition: Tensor,
        conditions: MicroConditions,
        *,
        view: Tensor | None = None,
        location: Tensor | None = None,
        strengths: Strengths = Strengths(),
    ) -> Features:
        """Encode N patches.

        Args:
            condition: (N, C, t, h, w) latents of the upsampled input, noise-augmented.
            conditions: micro-conditions, (N,) each.
            view: (1 or N, C, t, h', w') latent of the whole video; None disables the global branch.
            location: (N, 1, h', w') masks of the patches in it.
            strengths: branches of strength 0 are skipped.
        """
        time, time_delta = self.micro(conditions, like=condition)
        context = self.text_embedding(self.prompt.to(condition)).expand(len(condition), -1, -1)
        patch = global_ = None
        if self.patch is not None and strengths.patch != 0:
            patch = self.patch(condition, time, context)
        if self.global_ is not None and view is not None and location is not None and strengths.global_ != 0:
            global_ = self.global_(view, location, time, context)
        return Features(time_delta, patch, global_)

    @staticmethod
    def _gates(config: AdapterConfig, ops: Any) -> nn.ModuleList | None:
        if config.liem == "none":
            return None
        return nn.ModuleList(LocalGate(LIEM_GAINS[config.liem], ops) for _ in range(config.base.layers))
