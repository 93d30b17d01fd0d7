"""ComfyUI's VAE socket as a codec, and the lossless codec as a VAE."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...vae.codec import SpaceToDepth
from .layout import as_batch, as_canvas


class ComfyCodec:
    """A native VAE behind the :class:`codec.Codec` interface; one of images takes frames one by one.

    Latents keep ComfyUI's scale (that of VAE Encode); a model's own is applied where the latents
    meet the model.
    """

    is_lossless = False

    def __init__(self, vae: Any) -> None:
        self.vae = vae
        self.channels = int(vae.latent_channels)
        self.stride_px = int(vae.spacial_compression_encode())
        self.stride_frames = int(vae.temporal_compression_decode() or 1)
        self.takes_images = getattr(vae, "latent_dim", 3) == 2
        self.network = type(getattr(vae, "first_stage_model", None)).__name__

    @property
    def decoder_input(self) -> Any:
        """The first convolution of Wan's decoder, where a conditional decoder is attached; None for other VAEs."""
        decoder = getattr(getattr(self.vae, "first_stage_model", None), "decoder", None)
        return getattr(decoder, "conv1", None)

    def encode(self, frames: Tensor) -> Tensor:
        return as_canvas(self.vae.encode(frames))

    def decode(self, latent: Tensor) -> Tensor:
        frames = self.vae.decode(as_batch(latent, images=self.takes_images))
        return frames.flatten(0, 1) if frames.ndim == 5 else frames


class SpaceToDepthVAE:
    """The lossless codec with the methods that ComfyUI's VAE nodes call."""

    latent_channels = 192

    def __init__(self) -> None:
        self.codec = SpaceToDepth()

    def encode(self, pixels: Tensor) -> Tensor:
        """(T, H, W, C) pixels to (1, 192, T, H / 8, W / 8); sides are cropped to whole cells."""
        stride = self.codec.stride_px
        height, width = (side // stride * stride for side in pixels.shape[1:3])
        return self.codec.encode(pixels[:, :height, :width, :3].float())

    def decode(self, samples: Tensor, vae_options: Any = None) -> Tensor:
        """(1, 192, T, h, w) to (1, T, H, W, 3)."""
        return self.codec.decode(samples.float()).clamp(0, 1)[None]

    def encode_tiled(self, pixels: Tensor, **tiling: Any) -> Tensor:
        """Nothing is gained by tiling; the same as ``encode``."""
        return self.encode(pixels)

    def decode_tiled(self, samples: Tensor, **tiling: Any) -> Tensor:
        """Nothing is gained by tiling; the same as ``decode``."""
        return self.decode(samples)

    def spacial_compression_encode(self) -> int:
        return self.codec.stride_px

    def spacial_compression_decode(self) -> int:
        return self.codec.stride_px

    def temporal_compression_decode(self) -> int | None:
        return None

    def throw_exception_if_invalid(self) -> None:
        """Always valid: there are no weights."""


def latent_of(vae: Any, canvas: Tensor) -> dict[str, Tensor]:
    """A canvas (1, C, T, h, w) as a LATENT for the models of a VAE."""
    return {"samples": as_batch(canvas, images=getattr(vae, "latent_dim", 3) == 2)}


def codec_of(vae: Any) -> ComfyCodec | SpaceToDepth:
    """The codec behind a VAE socket."""
    return vae.codec if isinstance(vae, SpaceToDepthVAE) else ComfyCodec(vae)
