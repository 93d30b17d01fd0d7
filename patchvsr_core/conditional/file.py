"""Conditional decoders in files: weights, with a versioned configuration in the metadata."""

from __future__ import annotations

from pathlib import Path

import torch

from ..errors import ModelError
from ..files import damaged, read_weights, write_weights
from .decoder import ConditionalDecoder, ConditionalDecoderConfig

FORMAT = "patchvsr-conditional-decoder"
VERSION = 1


def save_conditional_decoder(
    decoder: ConditionalDecoder, path: str | Path, dtype: torch.dtype = torch.bfloat16
) -> None:
    """Write a conditional decoder with its configuration."""
    write_weights(path, decoder, decoder.config, FORMAT, dtype)


def load_conditional_decoder(path: str | Path, dtype: torch.dtype = torch.float32) -> ConditionalDecoder:
    """Read a conditional decoder's file.

    Raises:
        ModelError: in one sentence, what is wrong with the file.
    """
    path = Path(path)
    config, tensors = read_weights(path, FORMAT, "conditional decoder")
    if config.get("version") != VERSION:
        raise ModelError(
            f"{path.name} has version {config.get('version')} of its format and this PatchVSR reads {VERSION}; "
            "update PatchVSR, or get a file that fits."
        )
    with damaged(path):
        decoder = ConditionalDecoder(ConditionalDecoderConfig(**config))
        decoder.load_state_dict(tensors)
    return decoder.to(dtype).requires_grad_(False).eval()
