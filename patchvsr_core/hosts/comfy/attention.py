"""Attention propagation and detail guidance on a native MODEL.

A node leaves its choices in the model's options; joint modulation begins a run for every sampling
and lists the patches of every model call; an APPLY_MODEL wrapper puts the run into ComfyUI's
attention for the duration of that call. Overrides of other nodes are called as before.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...errors import PlanError
from ...propagation.attention import AttentionRun, Condition
from ...propagation.attention_options import AttentionOptions, check_layers
from ...propagation.token_layout import TokenLayout
from .token_layouts import block_number, count_blocks, tokens_of_model

OPTIONS = "patchvsr_attention"
RUN = "patchvsr_attention_run"
"""Key in transformer_options: the attention run that a model call belongs to, and ..."""
NEGATIVES = "patchvsr_negatives"
"""... which conditions are the negative ones."""
TOKENS = "patchvsr_tokens"
"""Key in transformer_options: how the model lays out its tokens, and how many blocks come before its single ones."""


def attach_attention(model: Any, **choices: Any) -> Any:
    """A clone of ``model`` with some of the choices of :class:`AttentionOptions`; earlier nodes' others stay."""
    patched = model.clone()
    transformer_options = patched.model_options["transformer_options"]
    earlier = options_of(transformer_options)
    options = replace(earlier or AttentionOptions(), **choices)
    layout, doubles = tokens_of_model(model), getattr(model.get_model_object("diffusion_model"), "double_blocks", ())
    check_layers(options, count_blocks(model))
    transformer_options[OPTIONS] = options
    transformer_options[TOKENS] = (layout, len(doubles))
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
        if rest.get("ref_latents") is not None:
            raise PlanError("Attention propagation cannot tell a patch from a reference latent; remove one of them.")
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
        self.layout, self.doubles = options[TOKENS]
        self.block: int | None = None

    def __call__(self, func: Any, q: Tensor, k: Tensor, v: Tensor, heads: int, *args: Any, **kwargs: Any) -> Tensor:
        """Of (B, L, heads * head_dim) tensors, or of (B, heads, L, head_dim) ones where ``skip_reshape`` says so."""
        attention = partial(self.earlier, func) if self.earlier else func
        by_head = bool(kwargs.get("skip_reshape"))
        tokens = 2 if by_head else 1
        options = kwargs["transformer_options"]
        block, before = block_number(options, self.doubles), self.block
        self.block = block
        if block is None or block == before or k.shape[tokens] != q.shape[tokens]:  # in a block self-attention is first
            return attention(q, k, v, heads, *args, **kwargs)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            more = {name: _longer(each, k.shape[1]) if name == "mask" else each for name, each in kwargs.items()}
            q, k, v = (x.transpose(1, 2) if by_head else x.flatten(2) for x in (q, k, v))
            return attention(q, k, v, heads, *args, **more)

        q, k, v = (x.transpose(1, 2) if by_head else x.unflatten(2, (heads, -1)) for x in (q, k, v))
        return self.run.attend(block, q, k, v, self.conditions, attend, self._spaced(options))

    def _spaced(self, options: dict[str, Any]) -> TokenLayout:
        """The layout, with distances between tokens as another node scales them."""
        rope = options.get("rope_options") or {}
        if not rope or not self.layout.can_scale:
            return self.layout
        scales = (rope.get("scale_t", 1.0), rope.get("scale_y", 1.0), rope.get("scale_x", 1.0))
        spacing = tuple(own * scale for own, scale in zip(self.layout.spacing, scales, strict=True))
        return replace(self.layout, spacing=spacing)


def _longer(mask: Tensor | None, keys: int) -> Tensor | None:
    """A mask over keys that lets every query see those that were appended."""
    if mask is None or mask.shape[-1] >= keys:
        return mask
    return F.pad(mask, (0, keys - mask.shape[-1]), value=mask.dtype == torch.bool)
