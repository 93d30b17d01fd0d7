"""What the shapes of a Wan checkpoint in the original layout say about the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HEAD_DIM = 128
"""Size of an attention head in every Wan; a checkpoint does not say it."""
TOKEN_CELLS = 4
"""Latent cells per token (1 x 2 x 2)."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class TransformerSizes:
    """Hyper-parameters of a Wan transformer."""

    channels: int
    out_channels: int
    width: int
    layers: int
    ffn: int
    text_dim: int
    frequencies: int

    @property
    def heads(self) -> int:
        return self.width // HEAD_DIM


def transformer_sizes(shapes: Shapes) -> TransformerSizes:
    """Read the sizes off a checkpoint's shapes.

    Raises:
        KeyError: naming the tensor that a Wan transformer would have.
        ValueError, IndexError: for names or shapes that no Wan has.
    """
    width, channels = shapes["patch_embedding.weight"][:2]
    return TransformerSizes(
        channels=channels,
        out_channels=shapes["head.head.weight"][0] // TOKEN_CELLS,
        width=width,
        layers=1 + max((int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")), default=-1),
        ffn=shapes["blocks.0.ffn.0.weight"][0],
        text_dim=shapes["text_embedding.0.weight"][1],
        frequencies=shapes["time_embedding.0.weight"][1],
    )
