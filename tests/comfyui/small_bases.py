"""Small random models of ComfyUI's own classes, one a family; runs inside ComfyUI's environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_management
import comfy.model_patcher
import comfy.supported_models as supported
import torch
from torch import Tensor

T, H, W = 3, 12, 14
"""Latent frames and cells of the canvas in these tests."""


@dataclass(frozen=True)
class SmallBase:
    """A model of a family, with what its conditioning holds."""

    config: type
    unet: dict[str, Any]
    channels: int
    text: tuple[int, int]
    """Tokens and features of a prompt."""
    frames: int = T
    is_image: bool = False
    extras: Callable[[Tensor], dict[str, Any]] = field(default=lambda noise: {})
    """(latent) to what a conditioning holds beside the prompt."""
    sigmas: tuple[float, ...] = (1.0, 0.7, 0.3, 0.0)
    control: Callable[[], Any] | None = None
    """Makes a ControlNet for it."""
    family: str = ""
    """In the pack's table."""
    is_flow: bool = True
    made_by_pipeline: tuple[str, ...] = ()
    """Of the extras, what Upscale Video makes itself for every chunk."""
    takes_regions: bool = True
    """Whether ComfyUI can give it several prompts on one side of guidance."""
    attends: bool = True
    """Whether its patches can attend to one another."""

    def load(self) -> Any:
        """A new MODEL with random weights, the same at every call."""
        torch.manual_seed(0)
        config = self.config(dict(self.unet))
        config.set_inference_dtype(torch.float32, None)
        model = config.get_model({}, "", device=torch.device("cpu"))
        fill(model.diffusion_model)
        device = comfy.model_management.get_torch_device()
        return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=torch.device("cpu"))

    def latent(self, size: tuple[int, int] = (H, W)) -> Tensor:
        """A random latent in the layout of the family."""
        generator = torch.Generator().manual_seed(2)
        if self.is_image:
            return torch.randn(self.frames, self.channels, *size, generator=generator)
        return torch.randn(1, self.channels, self.frames, *size, generator=generator)

    def prompts(self, latent: Tensor) -> tuple[Any, Any]:
        """(positive, negative) CONDITIONING."""
        generator = torch.Generator().manual_seed(3)
        both = [torch.randn(1, *self.text, generator=generator) for _ in range(2)]
        return tuple([[text, self.extras(latent)]] for text in both)


def _like(latent: Tensor, channels: int, seed: int = 4) -> Tensor:
    shape = (latent.shape[0], channels, *latent.shape[2:])
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _pooled(features: int) -> Callable[[Tensor], dict[str, Any]]:
    return lambda latent: {"pooled_output": torch.ones(1, features)}


def _sdxl(latent: Tensor) -> dict[str, Any]:
    """With the size of the whole picture, which every patch is told."""
    return {"pooled_output": torch.ones(1, 1280), "width": 8 * W, "height": 8 * H}


def _wan(**config: Any) -> dict[str, Any]:
    sizes = {"dim": 128, "ffn_dim": 192, "num_heads": 1, "num_layers": 2, "text_dim": 64, "freq_dim": 64}
    return {"image_model": "wan2.1", "model_type": "t2v", **sizes, **config}


def _image_to_video(latent: Tensor) -> dict[str, Any]:
    mask = torch.ones(1, 4, *latent.shape[2:])
    mask[:, :, :1] = 0
    return {"concat_latent_image": _like(latent, 16), "concat_mask": mask}


UNET = {"image_size": 32, "use_checkpoint": False, "num_res_blocks": [1, 1], "in_channels": 4, "out_channels": 4,
        "use_spatial_transformer": True, "legacy": False, "model_channels": 32, "channel_mult": (1, 2),
        "use_temporal_attention": False, "use_temporal_resblock": False}  # fmt: skip


def fill(network: Any) -> Any:
    """A network with random weights, the same at every call; what no file holds, such as frequencies, stays."""
    generator = torch.Generator().manual_seed(1)
    for name, weight in network.state_dict().items():
        if weight.is_floating_point():
            random = torch.randn(weight.shape, generator=generator) * (0.3 if weight.ndim < 2 else 0.06)
            is_scale = weight.ndim == 1 and name.endswith("weight")
            weight.copy_(1 + random if is_scale else random)
    return network


def _control() -> Any:
    sizes = {name: value for name, value in UNET.items() if name not in ("out_channels", "use_temporal_resblock")}
    sizes |= {"context_dim": 64, "num_heads": 8, "transformer_depth": [0, 1], "transformer_depth_middle": 1}
    network = comfy.cldm.cldm.ControlNet(**sizes, hint_channels=3)
    network.dtype = torch.float32
    return comfy.controlnet.ControlNet(fill(network), load_device=torch.device("cpu"))


BASES = {
    "wan21_t2v": partial(SmallBase, family="wan")(supported.WAN21_T2V, _wan(in_dim=16, out_dim=16), 16, (12, 64)),
    "wan21_i2v": partial(SmallBase, family="wan")(
        supported.WAN21_I2V, _wan(in_dim=36, out_dim=16, model_type="i2v"), 16, (12, 64), extras=_image_to_video,
        attends=False,
    ),
    "wan22_5b": partial(SmallBase, family="wan22")(supported.WAN22_T2V, _wan(in_dim=48, out_dim=48), 48, (12, 64)),
    "hunyuan_video": partial(SmallBase, family="hunyuan")(
        supported.HunyuanVideo,
        {
            "image_model": "hunyuan_video", "in_channels": 16, "out_channels": 16, "vec_in_dim": 32,
            "context_in_dim": 64, "hidden_size": 128, "mlp_ratio": 2.0, "num_heads": 1, "depth": 1,
            "depth_single_blocks": 1, "axes_dim": [16, 56, 56], "theta": 256, "patch_size": [1, 2, 2],
            "qkv_bias": True, "guidance_embed": True, "byt5": False, "meanflow": False,
            "use_cond_type_embedding": False, "vision_in_dim": None, "meanflow_sum": False,
        },
        16, (12, 64), extras=_pooled(32),
    ),
    "cosmos_predict2": partial(SmallBase, family="cosmos", is_flow=False)(
        supported.CosmosT2IPredict2,
        {
            "image_model": "cosmos_predict2", "max_img_h": 240, "max_img_w": 240, "max_frames": 128,
            "in_channels": 16, "out_channels": 16, "patch_spatial": 2, "patch_temporal": 1, "model_channels": 128,
            "concat_padding_mask": True, "crossattn_emb_channels": 64, "pos_emb_cls": "rope3d",
            "pos_emb_learnable": True, "pos_emb_interpolation": "crop", "num_blocks": 2, "num_heads": 2,
            "use_adaln_lora": True, "adaln_lora_dim": 16, "extra_per_block_abs_pos_emb": False,
        },
        16, (12, 64), sigmas=(80.0, 5.0, 0.5, 0.0),
    ),
    "qwen_image": partial(SmallBase, family="qwen")(
        supported.QwenImage,
        {
            "image_model": "qwen_image", "in_channels": 64, "out_channels": 16, "num_layers": 2,
            "attention_head_dim": 128, "num_attention_heads": 1, "joint_attention_dim": 64,
        },
        16, (12, 64), frames=1,
    ),
    "ltx": partial(SmallBase, family="ltx")(
        supported.LTXV,
        {
            "image_model": "ltxv", "in_channels": 128, "cross_attention_dim": 128, "attention_head_dim": 64,
            "num_attention_heads": 2, "caption_channels": 64, "num_layers": 2,
        },
        128, (12, 64), extras=lambda latent: {"attention_mask": torch.ones(1, 12, dtype=torch.long)},
        attends=False,
    ),
    "seedvr2": partial(SmallBase, family="seedvr2")(
        supported.SeedVR2,
        {
            "image_model": "seedvr2", "norm_eps": 1e-5, "num_layers": 4, "mlp_type": "swiglu", "vid_dim": 128,
            "heads": 1, "mm_layers": 2, "vid_out_norm": True,
        },
        16, (58, 5120), extras=lambda latent: {"condition": _like(latent, 17)}, sigmas=(1.0, 0.0),
        takes_regions=False, attends=False,
        made_by_pipeline=("condition",),
    ),
    "sd15": partial(SmallBase, family="sd15", is_flow=False)(
        supported.SD15,
        {**UNET, "context_dim": 64, "use_linear_in_transformer": False, "adm_in_channels": None, "num_heads": 8,
         "num_head_channels": -1, "transformer_depth": [0, 1], "transformer_depth_output": [0, 0, 1, 1],
         "transformer_depth_middle": 1},
        4, (12, 64), is_image=True, control=_control, sigmas=(14.6, 5.0, 0.5, 0.0), attends=False,
    ),
    "sdxl": partial(SmallBase, family="sdxl", is_flow=False)(
        supported.SDXL,
        {**UNET, "context_dim": 64, "use_linear_in_transformer": True, "adm_in_channels": 2816,
         "num_classes": "sequential", "transformer_depth": [0, 1], "transformer_depth_output": [0, 0, 1, 1],
         "transformer_depth_middle": 1, "num_heads": -1, "num_head_channels": 16},
        4, (12, 64), is_image=True, extras=_sdxl, sigmas=(14.6, 5.0, 0.5, 0.0), attends=False,
    ),
    "flux": partial(SmallBase, family="flux")(
        supported.Flux,
        {
            "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 32, "context_in_dim": 64,
            "hidden_size": 128, "mlp_ratio": 2.0, "num_heads": 1, "depth": 1, "depth_single_blocks": 1,
            "axes_dim": [16, 56, 56], "theta": 10000, "patch_size": 2, "qkv_bias": True, "guidance_embed": True,
            "txt_ids_dims": [],
        },
        16, (12, 64), is_image=True, extras=_pooled(32),
    ),
}  # fmt: skip
