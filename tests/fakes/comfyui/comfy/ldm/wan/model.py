"""A Wan text-to-video transformer, in the names and with the hooks of the native one."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from comfy.ldm.modules.attention import optimized_attention
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers

TOKEN = (1, 2, 2)


class WanSelfAttention(nn.Module):
    def __init__(self, width: int, heads: int, ops: Any, **kwargs: Any) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (ops.Linear(width, width, **kwargs) for _ in range(4))
        self.norm_q, self.norm_k = (ops.RMSNorm(width, eps=1e-6, **kwargs) for _ in range(2))

    def forward(self, x: Tensor, freqs: Tensor, transformer_options: dict[str, Any]) -> Tensor:
        q, k = self.norm_q(self.q(x)), self.norm_k(self.k(x))
        q, k = (_rotated(tokens, freqs, self.heads) for tokens in (q, k))
        return self.o(optimized_attention(q, k, self.v(x), heads=self.heads, transformer_options=transformer_options))


class WanT2VCrossAttention(WanSelfAttention):
    def forward(self, x: Tensor, context: Tensor, transformer_options: dict[str, Any]) -> Tensor:
        q, k, v = self.norm_q(self.q(x)), self.norm_k(self.k(context)), self.v(context)
        return self.o(optimized_attention(q, k, v, heads=self.heads, transformer_options=transformer_options))


class WanBlock(nn.Module):
    def __init__(self, width: int, ffn: int, heads: int, ops: Any, **kwargs: Any) -> None:
        super().__init__()
        self.norm1, self.norm2 = (ops.LayerNorm(width, eps=1e-6, elementwise_affine=False, **kwargs) for _ in range(2))
        self.norm3 = ops.LayerNorm(width, eps=1e-6, **kwargs)
        self.self_attn = WanSelfAttention(width, heads, ops, **kwargs)
        self.cross_attn = WanT2VCrossAttention(width, heads, ops, **kwargs)
        self.ffn = nn.Sequential(
            ops.Linear(width, ffn, **kwargs), nn.GELU(approximate="tanh"), ops.Linear(ffn, width, **kwargs)
        )
        self.modulation = nn.Parameter(torch.randn(1, 6, width, **kwargs) / width**0.5)

    def forward(self, x: Tensor, context: Tensor, time: Tensor, rotation: Tensor, options: dict[str, Any]) -> Tensor:
        """``time`` is (B, 1, 6, width): shift, scale and gate for self-attention, then for the network."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation[:, None] + time).unbind(2)
        mixed = self.norm1(x) * (1 + scale1) + shift1
        x = x + gate1 * self.self_attn(mixed, rotation, transformer_options=options)
        x = x + self.cross_attn(self.norm3(x), context, transformer_options=options)
        return x + gate2 * self.ffn(self.norm2(x) * (1 + scale2) + shift2)


class WanHead(nn.Module):
    def __init__(self, width: int, channels: int, ops: Any, **kwargs: Any) -> None:
        super().__init__()
        self.norm = ops.LayerNorm(width, eps=1e-6, elementwise_affine=False, **kwargs)
        self.head = ops.Linear(width, channels * math.prod(TOKEN), **kwargs)
        self.modulation = nn.Parameter(torch.randn(1, 2, width, **kwargs) / width**0.5)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale = (self.modulation[:, None] + time[:, :, None]).unbind(2)
        return self.head(self.norm(x) * (1 + scale) + shift)


class WanModel(nn.Module):
    def __init__(
        self,
        *,
        in_dim: int = 16,
        dim: int = 256,
        ffn_dim: int = 512,
        freq_dim: int = 256,
        text_dim: int = 4096,
        out_dim: int = 16,
        num_heads: int = 2,
        num_layers: int = 2,
        model_type: str = "t2v",
        image_model: str | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
        operations: Any = nn,
    ) -> None:
        super().__init__()
        self.dtype = dtype or torch.float32
        self.in_dim, self.out_dim, self.dim, self.ffn_dim = in_dim, out_dim, dim, ffn_dim
        self.freq_dim, self.text_dim, self.num_heads, self.num_layers = freq_dim, text_dim, num_heads, num_layers
        ops, kwargs = operations, {"device": device, "dtype": dtype}
        self.patch_embedding = ops.Conv3d(in_dim, dim, kernel_size=TOKEN, stride=TOKEN, **kwargs)
        self.text_embedding = nn.Sequential(
            ops.Linear(text_dim, dim, **kwargs), nn.GELU(approximate="tanh"), ops.Linear(dim, dim, **kwargs)
        )
        self.time_embedding = nn.Sequential(
            ops.Linear(freq_dim, dim, **kwargs), nn.SiLU(), ops.Linear(dim, dim, **kwargs)
        )
        self.time_projection = nn.Sequential(nn.SiLU(), ops.Linear(dim, 6 * dim, **kwargs))
        self.blocks = nn.ModuleList(WanBlock(dim, ffn_dim, num_heads, ops, **kwargs) for _ in range(num_layers))
        self.head = WanHead(dim, out_dim, ops, **kwargs)

    def forward(
        self, x: Tensor, timestep: Tensor, context: Tensor, transformer_options: dict[str, Any] | None = None
    ) -> Tensor:
        options = transformer_options or {}
        executor = WrapperExecutor(self._forward, self, get_all_wrappers(WrappersMP.DIFFUSION_MODEL, options))
        return executor(x, timestep, context, None, None, options)

    def _forward(
        self, x: Tensor, timestep: Tensor, context: Tensor, clip_fea: None, time_dim_concat: None, options: dict
    ) -> Tensor:
        tokens = self.patch_embedding(x)
        grid = tokens.shape[2:]
        tokens = tokens.flatten(2).transpose(1, 2)
        time = self.time_embedding(_sinusoids(self.freq_dim, timestep).to(tokens))[:, None]
        modulation = self.time_projection(time).unflatten(2, (6, self.dim))
        rotation = _rotation(tuple(grid), self.dim // self.num_heads).to(x.device)
        text = self.text_embedding(context)
        for index in range(self.num_layers):
            tokens = self._block(index, tokens, text, modulation, rotation, options)
        out = self.head(tokens, time).unflatten(1, grid).unflatten(4, (*TOKEN, self.out_dim))
        return out.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6).flatten(4, 5).flatten(2, 3)

    def _block(
        self, index: int, tokens: Tensor, text: Tensor, modulation: Tensor, rotation: Tensor, options: dict[str, Any]
    ) -> Tensor:
        """One block, or what a node put in its place."""
        options["block_index"] = index
        replacement = options.get("patches_replace", {}).get("dit", {}).get(("double_block", index))
        if replacement is None:
            return self.blocks[index](tokens, text, modulation, rotation, options)

        def original(args: dict[str, Any]) -> dict[str, Tensor]:
            inputs = (args[name] for name in ("img", "txt", "vec", "pe", "transformer_options"))
            return {"img": self.blocks[index](*inputs)}

        args = {"img": tokens, "txt": text, "vec": modulation, "pe": rotation, "transformer_options": options}
        return replacement(args, {"original_block": original})["img"]


def _sinusoids(size: int, position: Tensor) -> Tensor:
    frequencies = 10000.0 ** (-torch.arange(size // 2, dtype=torch.float64) / (size // 2))
    angles = position.double().flatten()[:, None] * frequencies.to(position.device)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _rotation(grid: tuple[int, int, int], head_dim: int) -> Tensor:
    """(tokens, head_dim / 2) unit complex numbers; the axes share a head's channels as in Wan."""
    spatial = 2 * (head_dim // 6)
    positions = torch.cartesian_prod(*(torch.arange(length, dtype=torch.float64) for length in grid)).view(-1, 3)
    angles = []
    for axis, size in enumerate((head_dim - 2 * spatial, spatial, spatial)):
        frequencies = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        angles.append(positions[:, axis, None] * frequencies)
    angle = torch.cat(angles, dim=1).float()
    return torch.polar(torch.ones_like(angle), angle)


def _rotated(tokens: Tensor, rotation: Tensor, heads: int) -> Tensor:
    pairs = torch.view_as_complex(tokens.float().unflatten(2, (heads, -1, 2)).contiguous())
    return torch.view_as_real(pairs * rotation[:, None]).flatten(2).to(tokens)
