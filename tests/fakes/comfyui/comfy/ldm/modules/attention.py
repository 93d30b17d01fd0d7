"""Attention that lets nodes step in."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor


def attention_pytorch(q: Tensor, k: Tensor, v: Tensor, heads: int, **kwargs: Any) -> Tensor:
    """(B, tokens, heads * size) queries, keys and values to the same shape as the queries."""
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def optimized_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, **kwargs: Any) -> Tensor:
    """The same, or what a node put in its place."""
    override = (kwargs.get("transformer_options") or {}).get("optimized_attention_override")
    if override is None:
        return attention_pytorch(q, k, v, heads, **kwargs)
    return override(attention_pytorch, q, k, v, heads=heads, **kwargs)
