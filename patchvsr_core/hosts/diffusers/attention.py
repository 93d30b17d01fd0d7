"""Attention of diffusers' Wan blocks, with what PatchVSR adds to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ...adapter.rotary import rotate
from ...propagation.attention import AttentionRun, Condition

GlobalKV = Callable[[], tuple[Tensor, Tensor] | None]


class SharedQueryAttention:
    """Text cross-attention plus global context on the same queries, before the shared output layer.

    Args:
        prompt: says which of several prompts is at hand; keys and values of each are then made once and cached.
    """

    def __init__(self, global_kv: GlobalKV, prompt: Callable[[], Any] | None = None) -> None:
        self.global_kv, self.prompt = global_kv, prompt
        self._cache: dict[Any, tuple[Tensor, Tensor]] = {}

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        rotary_emb: Any = None,
    ) -> Tensor:
        q = _split(attn.norm_q(attn.to_q(hidden_states)), attn)
        k, v = (
            _split(tensor, attn).expand(len(q), -1, -1, -1) for tensor in self._text_kv(attn, encoder_hidden_states)
        )
        out = _attend(q, k, v)
        global_kv = self.global_kv()
        if global_kv is not None:
            k, v = (_split(tensor.to(q), attn) for tensor in global_kv)
            out = out + _attend(q, k, v)
        return _out(attn, out)

    def _text_kv(self, attn: Any, text: Tensor) -> tuple[Tensor, Tensor]:
        """(1, tokens, width) each: all patches have the same prompt."""
        prompt = None if self.prompt is None else self.prompt()
        if prompt in self._cache:
            return self._cache[prompt]
        kv = attn.norm_k(attn.to_k(text)), attn.to_v(text)
        if prompt is not None:
            self._cache[prompt] = kv
        return kv


class PropagatingAttention:
    """Self-attention of block ``block`` inside an attention run."""

    def __init__(self, run: AttentionRun, block: int, condition: Callable[[], Condition]) -> None:
        self.run, self.block, self.condition = run, block, condition

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: Any = None,
    ) -> Tensor:
        q = _rotated(_split(attn.norm_q(attn.to_q(hidden_states)), attn), rotary_emb)
        k = _rotated(_split(attn.norm_k(attn.to_k(hidden_states)), attn), rotary_emb)
        v = _split(attn.to_v(hidden_states), attn)
        return _out(attn, self.run.attend(self.block, q, k, v, [self.condition()], _attend))


def _split(x: Tensor, attn: Any) -> Tensor:
    """(B, L, width) to (B, L, heads, head_dim)."""
    return x.unflatten(2, (attn.heads, -1))


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def _out(attn: Any, x: Tensor) -> Tensor:
    return attn.to_out[1](attn.to_out[0](x.flatten(2)))


def _rotated(x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Diffusers' tables, (1, L, 1, head_dim), hold every angle twice."""
    cos, sin = (table[..., ::2] for table in tables)
    return rotate(x.float(), (cos, sin)).to(x.dtype)
