"""What ComfyUI's own nodes do here, for the nodes that the example workflows use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .wan import AveragingVAE, random_wan

TEXT_DIM = 32


@dataclass(frozen=True, eq=False)
class Video:
    """A clip with its sound."""

    images: Tensor
    audio: Any = None
    fps: float = 24.0


class NoNoise:
    """For a run that goes on where another one stopped."""

    seed = 0

    def generate_noise(self, latent: dict[str, Tensor]) -> Tensor:
        return torch.zeros_like(latent["samples"])


@dataclass(frozen=True)
class Noise:
    """Noise that depends on the seed alone."""

    seed: int

    def generate_noise(self, latent: dict[str, Tensor]) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(latent["samples"].shape, generator=generator)


def guider(model: Any, positive: Any, negative: Any = None, cfg: float = 1.0) -> tuple[Any]:
    import comfy.samplers

    made = comfy.samplers.CFGGuider(model)
    made.set_conds(positive, negative)
    made.set_cfg(cfg)
    return (made,)


def basic_guider(model: Any, conditioning: Any) -> tuple[Any]:
    return guider(model, conditioning)


def sampler(sampler_name: str = "euler") -> tuple[Any]:
    import comfy.samplers

    return (comfy.samplers.sampler_object(sampler_name),)


def sigmas(model: Any, scheduler: str = "simple", steps: int = 1, denoise: float = 1.0) -> tuple[Tensor]:
    """Below a denoise of 1, the last ``steps`` noise levels of a longer schedule."""
    import comfy.samplers

    sampling = model.get_model_object("model_sampling")
    return (comfy.samplers.calculate_sigmas(sampling, scheduler, int(steps / denoise))[-steps - 1 :],)


def shifted(model: Any, shift: float) -> tuple[Any]:
    from comfy.model_base import FlowSampling

    sampling = FlowSampling(model.model.model_config)
    sampling.set_parameters(shift=shift)
    patched = model.clone()
    patched.add_object_patch("model_sampling", sampling)
    return (patched,)


def scaled(image: Tensor, width: int, height: int, **method: Any) -> tuple[Tensor]:
    larger = torch.nn.functional.interpolate(image.movedim(-1, 1), size=(height, width), mode="bicubic")
    return (larger.movedim(1, -1),)


def sharpened(image: Tensor, sharpen_radius: int, sigma: float, alpha: float) -> tuple[Tensor]:
    """More of what a box blur takes away."""
    side = 2 * sharpen_radius + 1
    blurred = torch.nn.functional.avg_pool2d(
        image.movedim(-1, 1), side, stride=1, padding=sharpen_radius, count_include_pad=False
    )
    return ((image + alpha * (image - blurred.movedim(1, -1))).clamp(0, 1),)


def sampled(
    noise: Any, guider: Any, sampler: Any, sigmas: Tensor, latent_image: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The second output has the clean prediction where a run ends above noise level 0; here it is the first."""
    made = {
        **latent_image,
        "samples": guider.sample(
            noise.generate_noise(latent_image), latent_image["samples"], sampler, sigmas, seed=noise.seed
        ),
    }
    return made, made


def prompt(text: str, clip: Any = None) -> tuple[list]:
    generator = torch.Generator().manual_seed(len(text))
    return ([[torch.randn(1, 4, TEXT_DIM, generator=generator), {}]],)


def core_behaviour(video: Video, saved: list[Video]) -> dict[str, Callable[..., tuple]]:
    """Functions by node; ``LoadVideo`` answers ``video``, ``SaveVideo`` appends to ``saved``."""
    return {
        "LoadVideo": lambda file: (video,),
        "GetVideoComponents": lambda video: (video.images, video.audio, video.fps, 8, "sRGB"),
        "CreateVideo": lambda images, fps, audio=None, bit_depth=8: (Video(images, audio, fps),),
        "SaveVideo": lambda video, **options: (saved.append(video), video)[1:],
        "ImageScale": scaled,
        "ImageSharpen": sharpened,
        "ImageFromBatch": lambda image, batch_index, length: (image[batch_index : batch_index + length],),
        "SaveImage": lambda images, filename_prefix: (images,),
        "PreviewAny": lambda source: (str(source),),
        "PreviewImage": lambda images: (images,),
        "UNETLoader": lambda **files: (random_wan(text_dim=TEXT_DIM),),
        "VAELoader": lambda **files: (AveragingVAE(),),
        "CLIPLoader": lambda **files: ("text encoder",),
        "CLIPTextEncode": prompt,
        "CheckpointLoaderSimple": lambda ckpt_name: (random_wan(text_dim=TEXT_DIM), "text encoder", AveragingVAE()),
        "LTXVConditioning": lambda positive, negative, frame_rate: (positive, negative),
        "SeedVR2Conditioning": lambda model, vae_conditioning: prompt("positive") + prompt("negative"),
        "ModelSamplingSD3": shifted,
        "BasicGuider": basic_guider,
        "CFGGuider": guider,
        "RandomNoise": lambda noise_seed: (Noise(noise_seed),),
        "KSamplerSelect": sampler,
        "BasicScheduler": sigmas,
        "SplitSigmas": lambda sigmas, step: (sigmas[: step + 1], sigmas[step:]),
        "DisableNoise": lambda: (NoNoise(),),
        "SamplerCustomAdvanced": sampled,
    }
