"""Attention propagation and detail guidance on a native MODEL.

A node leaves its choices in the model's options; joint modulation begins a run for every sampling
and lists the patches of every model call; an APPLY_MODEL wrapper puts the run into ComfyUI's
attention for the duration of that call. Overrides of other nodes are called as before.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...errors import PlanError
from ...propagation.attention import AttentionRun, Condition
from ...propagation.attention_options import AttentionOptions, check_layers
from .loading import base_spec

OPTIONS = "patchvsr_attention"
RUN = "patchvsr_attention_run"
"""Key in transformer_options: the attention run that a model call belongs to, and ..."""
NEGATIVES = "patchvsr_negatives"
"""... which conditions are the negative ones."""


def attach_attention(model: Any, **choices: Any) -> Any:
    """A clone of ``model`` with some of the choices of :class:`AttentionOptions`; earlier nodes' others stay."""
    patched = model.clone()
    transformer_options = patched.model_options["transformer_options"]
    earlier = options_of(transformer_options)
    options = replace(earlier or AttentionOptions(), **choices)
    check_layers(options, base_spec(model).layers)
    transformer_options[OPTIONS] = options
    if earlier is None:
        patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, OPTIONS, _apply_model)
    return patched


def options_of(transformer_options: dict[str, Any]) -> AttentionOptions | None:
    """What the nodes before joint modulation or after it chose."""
    return transformer_options.get(OPTIONS)


def _apply_model(
    executor: Any,
    x: Tensor,
    sigma: Tensor,
    c_concat: Any = None,
    c_crossattn: Any = None,
    control: Any = None,
    transformer_options: Any = None,
    **rest: Any,
) -> Tensor:
    """Wraps the base's forward on a batch of patches."""
    options = dict(transformer_options or {})
    if RUN not in options:
        raise PlanError(
            "Attention Propagation and Detail Guidance work between patches; connect Joint-Modulation Merger too."
        )
    if options[RUN] is not None:
        options["optimized_attention_override"] = _Override(options[RUN], options)
    return executor(x, sigma, c_concat, c_crossattn, control, options, **rest)


def negatives_of(guider: Any) -> frozenset[Any]:
    """What tells a guider's negative conditions apart; empty where it has none by that name."""
    conds = getattr(guider, "conds", {}).get("negative") or []
    return frozenset(cond["uuid"] for cond in conds if "uuid" in cond)


def _conditions(options: dict[str, Any]) -> list[Condition]:
    """The conditions of a model call, in the order of its rows."""
    kinds = options["cond_or_uncond"]
    marks, negatives = options.get("uuids") or range(len(kinds)), options.get(NEGATIVES)
    return [
        Condition(mark, negative=mark in negatives if negatives else kind == 1)
        for mark, kind in zip(marks, kinds, strict=True)
    ]


class _Override:
    """ComfyUI's attention in one forward of the model."""

    def __init__(self, run: AttentionRun, options: dict[str, Any]) -> None:
        self.run = run
        self.earlier = options.get("optimized_attention_override")
        self.conditions = _conditions(options)
        self.block: int | None = None

    def __call__(self, func: Any, q: Tensor, k: Tensor, v: Tensor, heads: int, *args: Any, **kwargs: Any) -> Tensor:
        attention = partial(self.earlier, func) if self.earlier else func
        options = kwargs["transformer_options"]
        block, before = options["block_index"], self.block
        self.block = block
        if block == before or k.shape[1] != q.shape[1]:  # in every block self-attention comes first
            return attention(q, k, v, heads, *args, **kwargs)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            out = attention(q.flatten(2), k.flatten(2), v.flatten(2), heads, *args, **kwargs)
            return out.unflatten(2, (heads, -1))

        q, k, v = (x.unflatten(2, (heads, -1)) for x in (q, k, v))
        rope = options.get("rope_options") or {}
        spacing = (rope.get("scale_t", 1.0), rope.get("scale_y", 1.0), rope.get("scale_x", 1.0))
        return self.run.attend(block, q, k, v, self.conditions, attend, spacing=spacing).flatten(2)
