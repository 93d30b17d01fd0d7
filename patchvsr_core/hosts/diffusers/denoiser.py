"""The headless host: Wan-architecture bases as diffusers modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...adapter import Adapter, BaseSpec, PatchControl
from ...adapter.liem import Grid
from ...adapter.lora import LowRank
from ...adapter.patch_branch import token_grid
from ...propagation.attention import AttentionRun, Condition
from ..wan import HEAD_DIM
from .attention import PropagatingAttention, SharedQueryAttention

TIMESTEPS = 1000


@dataclass(frozen=True, eq=False)
class Base:
    """A base model and how to read its output."""

    transformer: WanTransformer3DModel
    prediction: str = "velocity"
    """``velocity`` (v = eps - x0, every published Wan) or ``residual`` (x0 minus the condition)."""
    start_noise: float | None = None
    """For a bridge: noise in the upsampled LR input it starts from. None: a flow from noise."""

    @property
    def item_bytes(self) -> int:
        """Of a number in its features."""
        return self.transformer.patch_embedding.weight.element_size()

    @property
    def spec(self) -> BaseSpec:
        config = self.transformer.config
        width = config.num_attention_heads * config.attention_head_dim
        return BaseSpec(config.in_channels, width, config.num_layers, config.ffn_dim, config.text_dim)


def new_transformer(spec: BaseSpec) -> WanTransformer3DModel:
    """A Wan of these sizes with random weights."""
    return WanTransformer3DModel(
        num_attention_heads=spec.width // HEAD_DIM,
        attention_head_dim=HEAD_DIM,
        in_channels=spec.channels,
        out_channels=spec.channels,
        text_dim=spec.text_dim,
        ffn_dim=spec.ffn,
        num_layers=spec.layers,
    )


def restore_positions(transformer: WanTransformer3DModel) -> None:
    """Compute the table of positions anew: no file holds it, and one made on the meta device is empty."""
    sizes = transformer.config
    transformer.rope = type(transformer.rope)(sizes.attention_head_dim, sizes.patch_size, sizes.rope_max_seq_len)


class DiffusersDenoiser:
    """Runs a base on batches of patches and answers x0 (see :class:`sampling.solvers.Denoiser`).

    Hooks are placed on the transformer's blocks, both attentions and time embedder; they
    read the control of the call in progress and do nothing without one. ``close`` removes them.

    Args:
        prompts: (1, tokens, text_dim) embeddings, the positive and optionally a negative one.
        adapter: its LoRA is added to the transformer's weights until ``close``.
        keep_control: keep the control of a call until the next one, for gradient checkpointing,
            which runs the blocks again in the backward pass.
        attention: lets patches attend to one another; :mod:`sampling.joint_modulation` must be given the same run.
        keep_text: what the blocks make of the prompts is the same in every call, and cached. Neither prompts nor
            weights may change until ``close``.

    Raises:
        AdapterError: when the adapter was made for another base.
    """

    def __init__(
        self,
        base: Base,
        prompts: Sequence[Tensor],
        adapter: Adapter | None = None,
        *,
        keep_control: bool = False,
        attention: AttentionRun | None = None,
        keep_text: bool = False,
    ) -> None:
        self.base = base
        self.keep_control = keep_control
        self.keep_text = keep_text
        self.prompts = prompts
        self._control: PatchControl | None = None
        self._condition = Condition(0, negative=False)
        self._grid: Grid = (0, 0, 0)
        if adapter is not None:
            adapter.config.base.check_same(base.spec)
        self._remove = [*self._hooked(base.transformer, attention), *_with_lora(base.transformer, adapter)]

    def __call__(self, x: Tensor, sigma: Tensor, control: PatchControl | None) -> list[Tensor]:
        self._control = control
        self._grid = token_grid(x)
        try:
            return [self._predict(x, sigma, number) for number in range(len(self.prompts))]
        finally:
            if not self.keep_control:
                self._control = None

    def close(self) -> None:
        """Give the transformer back as it was."""
        for remove in self._remove:
            remove()
        self._remove = []

    def _predict(self, x: Tensor, sigma: Tensor, number: int) -> Tensor:
        self._condition = Condition(number, negative=number > 0)
        transformer = self.base.transformer
        state = x.to(transformer.patch_embedding.weight)
        timestep = _on(state.device, sigma * TIMESTEPS).float().reshape(-1).expand(len(x))
        text = self.prompts[number].to(state)
        out = transformer(state, timestep, text, return_dict=False)[0].to(x.dtype)
        if self.base.prediction == "velocity":
            return x - _on(x.device, sigma).to(x.dtype) * out
        anchor = self._control.anchor if self._control is not None else None
        return (x if anchor is None else anchor.to(x)) + out

    def _hooked(self, transformer: WanTransformer3DModel, attention: AttentionRun | None) -> list[Any]:
        removers = [transformer.condition_embedder.time_embedder.register_forward_hook(self._add_time_delta).remove]
        for index, block in enumerate(transformer.blocks):
            removers.append(block.register_forward_hook(partial(self._add_residual, index)).remove)
            removers.append(block.attn1.register_forward_pre_hook(partial(self._gate, index)).remove)
            removers.append(partial(block.attn2.set_processor, block.attn2.processor))
            prompt = (lambda: self._condition.key) if self.keep_text else None
            block.attn2.set_processor(SharedQueryAttention(partial(self._global_kv, index), prompt))
            if attention is not None:
                removers.append(partial(block.attn1.set_processor, block.attn1.processor))
                block.attn1.set_processor(PropagatingAttention(attention, index, lambda: self._condition))
        return removers

    def _add_time_delta(self, module: nn.Module, args: Any, embedding: Tensor) -> Tensor:
        if self._control is None or self._control.time_delta is None:
            return embedding
        return embedding + self._control.time_delta.to(embedding)

    def _add_residual(self, block: int, module: nn.Module, args: Any, hidden: Tensor) -> Tensor:
        residual = self._control.residual(block) if self._control is not None else None
        return hidden if residual is None else hidden + residual.to(hidden)

    def _gate(self, block: int, module: nn.Module, args: Any) -> Any:
        if self._control is None:
            return args
        return self._control.gate(block, args[0], self._grid), *args[1:]

    def _global_kv(self, block: int) -> tuple[Tensor, Tensor] | None:
        return self._control.global_kv(block) if self._control is not None else None


def _on(device: torch.device, number: Tensor) -> Tensor:
    """A single number where it is needed; made there, since a copy would wait for all that the device has to do."""
    if number.device == device:
        return number
    return torch.full((), float(number), device=device)


class _PlusLowRank(nn.Module):
    """A weight with a low-rank change, computed when the weight is used."""

    def __init__(self, low_rank: LowRank) -> None:
        super().__init__()
        self.factors = [low_rank]  # in a list: not a parameter of the transformer

    def forward(self, weight: Tensor) -> Tensor:
        low_rank = self.factors[0]
        return weight + (low_rank.up @ low_rank.down).to(weight)


_LAYER_NAMES = {
    "self_attn": "attn1",
    "cross_attn": "attn2",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "o": "to_out.0",
    "ffn.0": "ffn.net.0.proj",
    "ffn.2": "ffn.net.2",
}


def _with_lora(transformer: WanTransformer3DModel, adapter: Adapter | None) -> list[Any]:
    if adapter is None or adapter.lora is None:
        return []
    removers = []
    for name, low_rank in adapter.lora.layers():
        layer = transformer.get_submodule(_diffusers_name(name))
        parametrize.register_parametrization(layer, "weight", _PlusLowRank(low_rank))
        removers.append(partial(parametrize.remove_parametrizations, layer, "weight", leave_parametrized=False))
    return removers


def _diffusers_name(name: str) -> str:
    """``blocks.3.self_attn.q`` in Wan's layout to ``blocks.3.attn1.to_q``."""
    blocks, index, rest = name.split(".", 2)
    if rest.startswith("ffn"):
        return f"{blocks}.{index}.{_LAYER_NAMES[rest]}"
    attention, projection = rest.split(".")
    return f"{blocks}.{index}.{_LAYER_NAMES[attention]}.{_LAYER_NAMES[projection]}"
