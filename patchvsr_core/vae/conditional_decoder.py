"""Upscale-A-Video's conditional decoder for Wan's VAE: features of the input modulate the decoder's first features.

Only these small modules are trained; the VAE is frozen. A file contains their weights, with a versioned
configuration in its metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..errors import ModelError, phrase
from ..errors.finite import mark_source
from ..files import explain_read_errors, fill_module, parse_config, read_weights, write_weights
from .sft import Before, Modulation, PositionNorm, ResidualBlockPlus, TemporalBlock

FORMAT = "patchvsr-conditional-decoder"
VERSION = 1


@dataclass(frozen=True)
class ConditionalDecoderConfig:
    """Hyper-parameters, stored with the weights; the defaults fit Wan 2.1's VAE."""

    features: int = 384
    """Output channels of the first convolution of the VAE's decoder."""
    condition: int = 128
    """Channels of the condition features."""
    stride_px: int = 8
    """Pixels along one side of a latent cell."""
    stride_frames: int = 4
    """Video frames per latent frame; the first latent frame encodes a single frame."""
    version: int = 1
    """Version of the file format."""
    temporal_blocks: int = 0
    """Temporal residual blocks after the modulation, as in Upscale-A-Video; files from before have none."""


class ConditionalDecoder(nn.Module):
    """Encodes the upsampled input and modulates features of a VAE's decoder with it; the identity before training.

    Norms are pointwise (as in Wan's VAE itself), so that latent frames can be modulated one by one.
    """

    def __init__(self, config: ConditionalDecoderConfig = ConditionalDecoderConfig()) -> None:
        super().__init__()
        self.config = config
        folded = 3 * config.stride_px**2 * config.stride_frames
        self.condition = nn.Sequential(
            ResidualBlockPlus(folded, config.condition, PositionNorm),
            ResidualBlockPlus(config.condition, config.condition, PositionNorm),
        )
        self.modulation = Modulation(config.condition, config.features, PositionNorm)
        self.temporal = nn.ModuleList(
            TemporalBlock(config.features, PositionNorm) for _ in range(config.temporal_blocks)
        )

    def encode_condition(self, upsampled: Tensor) -> Tensor:
        """Encode the upsampled input of one tile, over its whole length.

        Args:
            upsampled: (T, H, W, 3) in [0, 1]; T is one more than a multiple of the VAE's temporal stride.

        Returns:
            (1, condition, t, h, w) in latent frames and cells.
        """
        stride, side = self.config.stride_frames, self.config.stride_px
        first = upsampled[:1].expand(stride - 1, *upsampled.shape[1:])
        pixels = torch.cat([first, upsampled]).to(self.modulation.scale.weight) * 2 - 1
        return self.condition(rearrange(pixels, "(t f) (h p) (w q) c -> 1 (c f p q) t h w", f=stride, p=side, q=side))


@contextmanager
def modulate_decoder(
    conv_in: nn.Module, decoder: ConditionalDecoder, condition: Tensor, weight: float = 1.0
) -> Iterator[None]:
    """Context in which the first features of a VAE's decoder are modulated; it may decode one clip, in several parts.

    Wan's VAE decodes one or two latent frames at a time. The condition covers all of them, the modulation is per frame,
    and temporal blocks keep the frames before, so that the result equals modulating the whole clip at once.

    Args:
        conv_in: the first convolution of the decoder: ``conv_in`` in diffusers, ``conv1`` in ComfyUI.
        condition: result of :meth:`ConditionalDecoder.encode_condition`.
        weight: 0 (off) to 1.

    Raises:
        ModelError: while decoding, when the VAE and the condition do not match.
    """
    done = 0
    before: list[Before] = [None] * len(decoder.temporal)

    def modulate(module: nn.Module, given: Any, features: Tensor) -> Tensor:
        nonlocal done
        part = condition[:, :, done : done + features.shape[2]]
        _check(part, features, decoder.config)
        done += features.shape[2]
        x: Tensor = decoder.modulation(part, features.to(part), weight)
        for number, block in enumerate(decoder.temporal):
            x, before[number] = block(x, before[number], weight)
        return x.to(features)

    handle = conv_in.register_forward_hook(modulate)
    try:
        yield
    finally:
        handle.remove()


def save_conditional_decoder(
    decoder: ConditionalDecoder, path: str | Path, dtype: torch.dtype = torch.bfloat16
) -> None:
    """Write a conditional decoder with its configuration."""
    write_weights(path, decoder, decoder.config, FORMAT, dtype)


def load_conditional_decoder(path: str | Path, dtype: torch.dtype = torch.float32) -> ConditionalDecoder:
    """Read a conditional decoder's file.

    Raises:
        ModelError: when the file is missing, damaged or of another version.
    """
    path = Path(path)
    config, tensors = read_weights(path, FORMAT, phrase("conditional decoder"))
    if config.get("version") != VERSION:
        raise ModelError(
            f"{path.name} has format version {config.get('version')}, but this PatchVSR reads version {VERSION}; "
            "update PatchVSR, or use a file of that version."
        )
    with explain_read_errors(path):
        chosen = parse_config(ConditionalDecoderConfig, config)
        decoder = mark_source(fill_module(lambda: ConditionalDecoder(chosen), tensors), path)
    return decoder.to(dtype).requires_grad_(False).eval()


def _check(condition: Tensor, features: Tensor, config: ConditionalDecoderConfig) -> None:
    if features.shape[1] != config.features:
        raise ModelError(
            f"The conditional decoder was trained for a VAE whose decoder starts with {config.features} channels, "
            f"but this one has {features.shape[1]}; use the VAE that it was trained with."
        )
    if condition.shape[2:] != features.shape[2:]:
        raise ModelError(
            f"The VAE decodes a part of {tuple(features.shape[2:])} latent frames and cells instead of "
            f"{tuple(condition.shape[2:])}, because it splits tiles by itself; choose smaller tiles."
        )
