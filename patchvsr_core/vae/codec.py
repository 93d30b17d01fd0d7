"""Codecs: frames to latents and back behind one interface.

``SpaceToDepth`` is the lossless codec of the tiny default; ``WanVAE`` wraps diffusers'
autoencoder of Wan. ``hosts.comfy`` wraps ComfyUI's native VAE in the same way.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from einops import rearrange
from torch import Tensor, nn

from ..errors import ModelError, PlanError
from ..plan.canvas import Canvas


class Codec(Protocol):
    """Encodes and decodes one spatial tile of a clip over its whole length."""

    channels: int
    """Latent channels."""
    stride_px: int
    """Pixels along one side of a latent cell."""
    stride_frames: int
    """Video frames per latent frame; above 1 the first latent frame encodes a single frame."""

    @property
    def is_lossless(self) -> bool:
        """Whether a latent is the pixels themselves, rearranged: the codec of the tiny default, and of no Wan."""

    def encode(self, frames: Tensor) -> Tensor:
        """(T, H, W, 3) in [0, 1] to (1, channels, t, h, w); sides must be multiples of ``stride_px``."""

    def decode(self, latent: Tensor) -> Tensor:
        """(1, channels, t, h, w) to (T, H, W, 3), nominally in [0, 1]."""


def check_codec(codec: Codec, canvas: Canvas) -> None:
    """Raise unless the canvas was planned for this codec.

    Raises:
        PlanError: when the strides differ.
    """
    found, planned = (codec.stride_px, codec.stride_frames), (canvas.stride_px, canvas.stride_frames)
    if found != planned:
        raise PlanError(
            f"The VAE compresses {found[0]} pixels and {found[1]} frames into one latent cell, but the plan was made "
            f"for {planned[0]} pixels and {planned[1]} frames; connect the same VAE to the Patch Planner."
        )


class SpaceToDepth:
    """Lossless codec: each 8 x 8 block of pixels becomes one cell of 192 channels, frame by frame."""

    is_lossless = True

    def __init__(self, stride_px: int = 8) -> None:
        self.stride_px = stride_px
        self.stride_frames = 1
        self.channels = 3 * stride_px * stride_px

    def encode(self, frames: Tensor) -> Tensor:
        _check_sides(frames, self.stride_px)
        pixels = frames * 2 - 1
        return rearrange(pixels, "t (h p) (w q) c -> 1 (c p q) t h w", p=self.stride_px, q=self.stride_px).contiguous()

    def decode(self, latent: Tensor) -> Tensor:
        pixels = rearrange(latent, "1 (c p q) t h w -> t (h p) (w q) c", p=self.stride_px, q=self.stride_px)
        return (pixels + 1) / 2


class WanVAE:
    """Wan's causal autoencoder, 4 x 8 x 8, with latents normalised as the DiT expects them.

    Args:
        vae: a diffusers ``AutoencoderKLWan``; it runs on the device of its weights.
    """

    is_lossless = False

    def __init__(self, vae: Any) -> None:
        self.vae = vae
        self.channels = int(vae.config.z_dim)
        self.stride_px = int(vae.config.scale_factor_spatial)
        self.stride_frames = int(vae.config.scale_factor_temporal)

    def encode(self, frames: Tensor) -> Tensor:
        _check_sides(frames, self.stride_px)
        video = rearrange(frames * 2 - 1, "t h w c -> 1 c t h w").to(self.vae.device, self.vae.dtype)
        with torch.inference_mode():
            latent = self.vae.encode(video).latent_dist.mode()
        mean, std = self._statistics(latent)
        return ((latent - mean) / std).float()

    def decode(self, latent: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.decode_with_grad(latent)

    def decode_with_grad(self, latent: Tensor) -> Tensor:
        """As :meth:`decode`, but differentiable, to train a conditional decoder."""
        latent = latent.to(self.vae.device, self.vae.dtype)
        mean, std = self._statistics(latent)
        video = self.vae.decode(latent * std + mean).sample
        return rearrange((video.float() + 1) / 2, "1 c t h w -> t h w c")

    @property
    def decoder_input(self) -> nn.Module:
        """The decoder's first convolution, to whose output a conditional decoder is attached."""
        return self.vae.decoder.conv_in

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (
            torch.tensor(values, device=like.device, dtype=like.dtype).view(1, -1, 1, 1, 1)
            for values in (self.vae.config.latents_mean, self.vae.config.latents_std)
        )
        return mean, std


def _check_sides(frames: Tensor, stride_px: int) -> None:
    height, width = frames.shape[1:3]
    if height % stride_px or width % stride_px:
        raise ModelError(
            f"A tile of {width}x{height} px cannot be encoded; its sides must be multiples of {stride_px} px."
        )
