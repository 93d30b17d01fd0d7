"""Names of a transformer's tensors: diffusers' and those of Wan's original checkpoints."""

from __future__ import annotations

LAYER_NAMES = {
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "proj_out": "head.head",
}
BLOCK_NAMES = {
    "attn1.": "self_attn.",
    "attn2.": "cross_attn.",
    ".to_out.0.": ".o.",
    ".to_q.": ".q.",
    ".to_k.": ".k.",
    ".to_v.": ".v.",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    "norm2": "norm3",
    "scale_shift_table": "modulation",
}


def original_name(name: str) -> str:
    """A diffusers name of the transformer in Wan's original checkpoint layout."""
    if name == "scale_shift_table":
        return "head.modulation"
    for ours, original in LAYER_NAMES.items():
        if name.startswith(ours):
            return original + name.removeprefix(ours)
    if name.startswith("blocks."):
        for ours, original in BLOCK_NAMES.items():
            name = name.replace(ours, original)
    return name
