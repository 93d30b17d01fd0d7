"""Model configurations."""

from __future__ import annotations

from typing import Any

import torch

import comfy.latent_formats


class WAN21_T2V:  # noqa: N801 - the real name
    latent_format: Any = comfy.latent_formats.Wan21
    sampling_settings = {"shift": 8.0}

    def __init__(self, unet_config: dict[str, Any]) -> None:
        self.unet_config = dict(unet_config)
        self.latent_format = self.latent_format()
        self.manual_cast_dtype: torch.dtype | None = None

    def set_inference_dtype(self, dtype: torch.dtype | None, manual_cast_dtype: torch.dtype | None) -> None:
        self.unet_config["dtype"] = dtype
        self.manual_cast_dtype = manual_cast_dtype
