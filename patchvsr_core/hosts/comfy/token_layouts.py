"""What ComfyUI's transformers do with tokens in self-attention, as far as attention propagation needs it."""

from __future__ import annotations

from typing import Any

from ...errors import AdapterError
from ...propagation.token_layout import WAN_TOKENS, TokenLayout
from .loading import base_spec, family_of, sizes_of

JOINT = ("flux", "hunyuan", "qwen")
"""Families whose text and picture attend to one another in one sequence, the text first."""
BLOCKS = ("double_blocks", "single_blocks", "transformer_blocks", "blocks")
"""Lists of blocks, in the order in which they run."""


def tokens_of_model(model: Any) -> TokenLayout:
    """How a native MODEL lays out its tokens.

    Raises:
        AdapterError: for one whose attention cannot be reached, or which is not known.
    """
    if sizes_of(model) is not None:
        base_spec(model)
        return WAN_TOKENS
    network, family = model.get_model_object("diffusion_model"), family_of(model)
    if family in JOINT and len(getattr(network.pe_embedder, "axes_dim", ())) == len(WAN_TOKENS.thetas):
        theta, axes = float(network.pe_embedder.theta), tuple(network.pe_embedder.axes_dim)
        is_image = family == "flux"  # whose frames have no time
        spacing = (0.0 if is_image else 1.0, 1.0, 1.0)
        return TokenLayout(axes, (theta,) * 3, False, True, spacing, is_image=is_image, can_scale=is_image)
    positions: Any = getattr(network, "pos_embedder", None)
    if family == "cosmos" and hasattr(positions, "t_ntk_factor"):
        factors = (positions.t_ntk_factor, positions.h_ntk_factor, positions.w_ntk_factor)
        t, y, x = (WAN_TOKENS.thetas[0] * factor for factor in factors)
        return TokenLayout(thetas=(t, y, x), is_split=True)
    raise AdapterError(
        f"Attention of a {type(network).__name__} cannot be reached by attention propagation and detail guidance; "
        "connect Wan text-to-video, HunyuanVideo, Cosmos Predict2, Qwen-Image, Flux, or Load PatchVSR Model."
    )


def count_blocks(model: Any) -> int:
    """Transformer blocks with self-attention."""
    network = model.get_model_object("diffusion_model")
    return sum(len(getattr(network, name, ())) for name in BLOCKS)


def block_number(options: dict[str, Any], doubles: int) -> int | None:
    """Which block a call of attention belongs to; None outside of them.

    Args:
        options: the transformer_options of the call.
        doubles: blocks that run before those of the type "single", which count anew.
    """
    index = options.get("block_index")
    return index if index is None or options.get("block_type") != "single" else doubles + index
