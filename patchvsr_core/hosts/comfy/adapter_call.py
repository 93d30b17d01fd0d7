"""The hooks of an adapter in transformer_options, for one call of a native model; see :mod:`.adapter`."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from ...adapter import PatchControl


class AdapterCall:
    """What is installed in transformer_options for one model call."""

    def __init__(self, control: PatchControl, options: dict[str, Any]) -> None:
        self.control = control
        self.options = options
        self.attention = options.get("optimized_attention_override")
        self.block: int | None = None
        self.text_tokens = 0
        self.attentions_seen = 0

    def install(self, layers: int) -> dict[str, Any]:
        """A copy of the options with our hooks around whatever was there."""
        options = dict(self.options)
        replace = dict(options.get("patches_replace", {}))
        blocks = dict(replace.get("dit", {}))
        for index in range(layers):
            key = ("double_block", index)
            blocks[key] = partial(self.run_block, index, blocks.get(key))
        replace["dit"] = blocks
        options["patches_replace"] = replace
        options["optimized_attention_override"] = self.attend
        return options

    def run_block(self, index: int, previous: Any, args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        """The block as it was, plus the patch residual."""
        self.block, self.attentions_seen, self.text_tokens = index, 0, args["txt"].shape[1]
        try:
            out = previous(args, extra) if previous else extra["original_block"](args)
        finally:
            self.block = None
        residual = self.control.residual(index)
        if residual is not None:
            out["img"] = out["img"] + residual.to(out["img"])
        return out

    def attend(self, func: Any, q: Tensor, k: Tensor, v: Tensor, heads: int, *args: Any, **kwargs: Any) -> Tensor:
        """Attention as it was; after the text's, the global context on the same queries."""
        attention = partial(self.attention, func) if self.attention else func
        out = attention(q, k, v, heads, *args, **kwargs)
        self.attentions_seen += 1
        if self.block is None or self._is_self(k):
            return out
        global_kv = self.control.global_kv(self.block)
        if global_kv is None:
            return out
        k_global, v_global = (tensor.to(q) for tensor in global_kv)
        return out + attention(q, k_global, v_global, heads, *args, **kwargs)

    def _is_self(self, k: Tensor) -> bool:
        """The first of a block, whatever keys other nodes add to it."""
        return self.attentions_seen == 1 or k.shape[1] != self.text_tokens
