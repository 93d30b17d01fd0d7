"""A video transformer with its latent format and its noise levels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import comfy.ops
from comfy.ldm.wan.model import WanModel
from comfy.model_sampling import CONST, ModelSamplingDiscreteFlow
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers


class FlowSampling(ModelSamplingDiscreteFlow, CONST):
    """What published Wans are sampled with."""


class WAN21(nn.Module):
    def __init__(self, model_config: Any, image_to_video: bool = False, device: torch.device | None = None) -> None:
        super().__init__()
        self.model_config = model_config
        self.latent_format = model_config.latent_format
        self.manual_cast_dtype = model_config.manual_cast_dtype
        self.diffusion_model = WanModel(**model_config.unet_config, device=device, operations=comfy.ops.manual_cast)
        self.diffusion_model.requires_grad_(False).eval()
        self.model_sampling = FlowSampling(model_config)

    def load_model_weights(self, sd: dict[str, Tensor], unet_prefix: str = "", assign: bool = False) -> WAN21:
        self.diffusion_model.load_state_dict(
            {name.removeprefix(unet_prefix): tensor for name, tensor in sd.items()}, assign=assign
        )
        self.diffusion_model.requires_grad_(False)
        return self

    def get_dtype_inference(self) -> torch.dtype:
        return self.manual_cast_dtype or self.diffusion_model.dtype

    def process_latent_in(self, latent: Tensor) -> Tensor:
        return self.latent_format.process_in(latent)

    def process_latent_out(self, latent: Tensor) -> Tensor:
        return self.latent_format.process_out(latent)

    def apply_model(
        self,
        x: Tensor,
        t: Tensor,
        c_concat: Any = None,
        c_crossattn: Tensor | None = None,
        control: Any = None,
        transformer_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """The clean prediction for ``x`` at noise levels ``t``."""
        options = transformer_options or {}
        executor = WrapperExecutor(self._apply_model, self, get_all_wrappers(WrappersMP.APPLY_MODEL, options))
        return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)

    def _apply_model(
        self,
        x: Tensor,
        t: Tensor,
        c_concat: Any = None,
        c_crossattn: Any = None,
        control: Any = None,
        transformer_options: Any = None,
        **kwargs: Any,
    ) -> Tensor:
        dtype = self.get_dtype_inference()
        state = self.model_sampling.calculate_input(t, x).to(dtype)
        timestep = self.model_sampling.timestep(t).float()
        options = dict(transformer_options or {})
        out = self.diffusion_model(state, timestep, context=c_crossattn.to(dtype), transformer_options=options)
        return self.model_sampling.calculate_denoised(t, out.float(), x)
