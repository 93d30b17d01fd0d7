"""A random Wan and a very simple video VAE: what a user would load from their model folders."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def random_wan(seed: int = 0, **sizes: int) -> Any:
    """A native MODEL in the shapes of Wan, far smaller, with random weights. Needs the stand-in in place."""
    import comfy.model_base
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models

    chosen = {"dim": 128, "ffn_dim": 256, "num_heads": 1, "num_layers": 2, "text_dim": 32} | sizes
    device = comfy.model_management.get_torch_device()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = comfy.model_base.WAN21(comfy.supported_models.WAN21_T2V(chosen), device=device)
    return comfy.model_patcher.CoreModelPatcher(model, load_device=device, offload_device=device)


class AveragingVAE:
    """Sixteen channels, 8 x 8 pixels and 4 frames per latent: the first three are mean colours, the rest empty."""

    latent_channels = 16

    def encode(self, pixels: Tensor) -> Tensor:
        """(T, H, W, 3) with T = 4 n + 1 to (1, 16, n + 1, H / 8, W / 8)."""
        assert len(pixels) % 4 == 1, f"{len(pixels)} frames are not 4 n + 1"
        clip = pixels.movedim(-1, 0)[None] * 2 - 1
        first, rest = clip[:, :, :1], clip[:, :, 1:]
        means = [F.avg_pool3d(first, (1, 8, 8))] + ([F.avg_pool3d(rest, (4, 8, 8))] if rest.shape[2] else [])
        return F.pad(torch.cat(means, dim=2), (0, 0, 0, 0, 0, 0, 0, 13))

    def decode(self, samples: Tensor) -> Tensor:
        """(1, 16, n + 1, h, w) to (1, 4 n + 1, 8 h, 8 w, 3) in [0, 1]."""
        colors = samples[:, :3].repeat_interleave(8, dim=3).repeat_interleave(8, dim=4)
        clip = torch.cat([colors[:, :, :1], colors[:, :, 1:].repeat_interleave(4, dim=2)], dim=2)
        return ((clip + 1) / 2).clamp(0, 1).movedim(1, -1)

    def spacial_compression_encode(self) -> int:
        return 8

    def spacial_compression_decode(self) -> int:
        return 8

    def temporal_compression_decode(self) -> int:
        return 4
