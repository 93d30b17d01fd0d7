"""The tiny default as native objects, so that stock nodes and samplers run it."""

from __future__ import annotations

from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.supported_models
import torch
from torch import Tensor

from ...files import read_metadata, read_tensors
from ...vae.codec import SpaceToDepth
from ...weights import shipped
from ..wan import transformer_sizes

PREVIEW_PIXELS = (27, 28, 35, 36)
"""The four middle pixels of an 8 x 8 cell; their mean is the preview of a cell."""


class SpaceToDepthFormat(comfy.latent_formats.LatentFormat):
    """Latents of the lossless codec: pixels in [-1, 1], nothing to scale."""

    latent_channels = SpaceToDepth().channels
    latent_dimensions = 3
    spacial_downscale_ratio = 8
    temporal_downscale_ratio = 1

    def __init__(self) -> None:
        factors = torch.zeros(self.latent_channels, 3)
        for channel in range(3):
            for pixel in PREVIEW_PIXELS:
                factors[channel * 64 + pixel, channel] = 1 / len(PREVIEW_PIXELS)
        self.latent_rgb_factors = factors.tolist()


class TinyConfig(comfy.supported_models.WAN21_T2V):
    """Model configuration of the tiny default."""

    latent_format = SpaceToDepthFormat
    sampling_settings = {"shift": 1.0}


def is_tiny(model: Any) -> bool:
    """Whether a MODEL is the tiny default, whose latents are blocks of pixels."""
    return isinstance(model.model.model_config, TinyConfig)


class BridgeSampling(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
    """A bridge from the upsampled LR input (the LATENT) to the result.

    The model's output is a residual. Without a condition it is taken relative to the state;
    Apply PatchVSR moves it onto the condition.
    """

    start_noise = 0.0

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        return model_input + model_output

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False) -> Tensor:
        sigma = comfy.model_sampling.reshape_sigma(sigma, noise.ndim)
        return latent_image + sigma * self.start_noise * noise

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        return latent


def load_tiny(disable_dynamic: bool = False) -> Any:
    """The shipped base as a native MODEL.

    Args:
        disable_dynamic: load without dynamic memory; ComfyUI wants that when it clones.
    """
    path = shipped("tiny_base.safetensors")
    weights = {name: tensor.float() for name, tensor in read_tensors(path).items()}
    start_noise = float(read_metadata(path)["start_noise"])
    sizes = transformer_sizes({name: tuple(tensor.shape) for name, tensor in weights.items()})
    config = TinyConfig(
        {
            "image_model": "wan2.1",
            "model_type": "t2v",
            "dim": sizes.width,
            "ffn_dim": sizes.ffn,
            "num_heads": sizes.heads,
            "num_layers": sizes.layers,
            "in_dim": sizes.channels,
            "out_dim": sizes.out_channels,
            "text_dim": sizes.text_dim,
            "freq_dim": sizes.frequencies,
        }
    )
    config.set_inference_dtype(torch.float32, None)
    model = comfy.model_base.WAN21(config, device=comfy.model_management.unet_offload_device())
    model.model_sampling = BridgeSampling(config)
    model.model_sampling.start_noise = start_noise
    patcher_class = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = patcher_class(
        model,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
    model.load_model_weights(weights, "", assign=patcher.is_dynamic())
    patcher.cached_patcher_init = (load_tiny, ())
    return patcher
