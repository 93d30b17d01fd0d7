"""Random models of the smallest sizes that real loaders accept, in Wan's original key layout."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from patchvsr_core.adapter import Adapter, AdapterConfig, BaseSpec
from patchvsr_core.realtime.dap import DAP, DAPConfig
from patchvsr_core.realtime.rdg import RDG

Weights = dict[str, Tensor]


class _Maker:
    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.weights: Weights = {}

    def random(self, *shape: int, scale: float) -> Tensor:
        return torch.randn(*shape, generator=self.generator) * scale

    def linear(self, name: str, outputs: int, inputs: int) -> None:
        self.weights[f"{name}.weight"] = self.random(outputs, inputs, scale=inputs**-0.5)
        self.weights[f"{name}.bias"] = self.random(outputs, scale=0.02)

    def conv(self, name: str, outputs: int, inputs: int, *kernel: int) -> None:
        fan_in = inputs * int(torch.tensor(kernel).prod())
        self.weights[f"{name}.weight"] = self.random(outputs, inputs, *kernel, scale=fan_in**-0.5)
        self.weights[f"{name}.bias"] = self.random(outputs, scale=0.02)


def random_wan(
    *, width: int = 128, layers: int = 2, ffn: int = 192, channels: int = 16, text_dim: int = 64, seed: int = 0
) -> Weights:
    """A text-to-video Wan transformer."""
    make = _Maker(seed)
    make.conv("patch_embedding", width, channels, 1, 2, 2)
    make.linear("text_embedding.0", width, text_dim)
    make.linear("text_embedding.2", width, width)
    make.linear("time_embedding.0", width, 256)
    make.linear("time_embedding.2", width, width)
    make.linear("time_projection.1", 6 * width, width)
    for block in range(layers):
        for attention in ("self_attn", "cross_attn"):
            for projection in "qkvo":
                make.linear(f"blocks.{block}.{attention}.{projection}", width, width)
            for norm in ("norm_q", "norm_k"):
                make.weights[f"blocks.{block}.{attention}.{norm}.weight"] = 1 + make.random(width, scale=0.1)
        make.weights[f"blocks.{block}.norm3.weight"] = 1 + make.random(width, scale=0.1)
        make.weights[f"blocks.{block}.norm3.bias"] = make.random(width, scale=0.1)
        make.linear(f"blocks.{block}.ffn.0", ffn, width)
        make.linear(f"blocks.{block}.ffn.2", width, ffn)
        make.weights[f"blocks.{block}.modulation"] = make.random(1, 6, width, scale=width**-0.5)
    make.weights["head.modulation"] = make.random(1, 2, width, scale=width**-0.5)
    make.linear("head.head", channels * 4, width)
    return make.weights


def random_vae(*, width: int = 8, seed: int = 0) -> Weights:
    """Wan 2.1's VAE at a small width: 16 latent channels, multipliers 1 2 4 4, two residual blocks."""
    make = _Maker(seed)
    widths = [width * m for m in (1, 2, 4, 4)]

    def residual(name: str, inputs: int, outputs: int) -> None:
        make.weights[f"{name}.residual.0.gamma"] = torch.ones(inputs, 1, 1, 1)
        make.conv(f"{name}.residual.2", outputs, inputs, 3, 3, 3)
        make.weights[f"{name}.residual.3.gamma"] = torch.ones(outputs, 1, 1, 1)
        make.conv(f"{name}.residual.6", outputs, outputs, 3, 3, 3)
        if inputs != outputs:
            make.conv(f"{name}.shortcut", outputs, inputs, 1, 1, 1)

    def middle(name: str, size: int) -> None:
        residual(f"{name}.middle.0", size, size)
        make.weights[f"{name}.middle.1.norm.gamma"] = torch.ones(size, 1, 1)
        make.conv(f"{name}.middle.1.to_qkv", 3 * size, size, 1, 1)
        make.conv(f"{name}.middle.1.proj", size, size, 1, 1)
        residual(f"{name}.middle.2", size, size)

    def head(name: str, size: int, outputs: int) -> None:
        make.weights[f"{name}.head.0.gamma"] = torch.ones(size, 1, 1, 1)
        make.conv(f"{name}.head.2", outputs, size, 3, 3, 3)

    make.conv("encoder.conv1", widths[0], 3, 3, 3, 3)
    size, index = widths[0], 0
    for level, outputs in enumerate(widths):
        for _ in range(2):
            residual(f"encoder.downsamples.{index}", size, outputs)
            size, index = outputs, index + 1
        if level < 3:
            make.conv(f"encoder.downsamples.{index}.resample.1", size, size, 3, 3)
            if level > 0:
                make.conv(f"encoder.downsamples.{index}.time_conv", size, size, 3, 1, 1)
            index += 1
    middle("encoder", size)
    head("encoder", size, 32)
    make.conv("conv1", 32, 32, 1, 1, 1)
    make.conv("conv2", 16, 16, 1, 1, 1)
    make.conv("decoder.conv1", size, 16, 3, 3, 3)
    middle("decoder", size)
    index = 0
    for level, outputs in enumerate(widths[::-1]):
        for _ in range(3):
            residual(f"decoder.upsamples.{index}", size, outputs)
            size, index = outputs, index + 1
        if level < 3:
            make.conv(f"decoder.upsamples.{index}.resample.1", size // 2, size, 3, 3)
            if level < 2:
                make.conv(f"decoder.upsamples.{index}.time_conv", 2 * size, size, 3, 1, 1)
            size, index = size // 2, index + 1
    head("decoder", size, 3)
    return make.weights


def save(weights: Weights, path: Path, **metadata: str) -> Path:
    """Write a safetensors file and give its path back."""
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, str(path), metadata=metadata or None)
    return path


def random_adapter(base: BaseSpec, *, seed: int = 0, **config: object) -> Adapter:
    """An adapter that says something: no layer is zero."""
    adapter = Adapter(AdapterConfig(base, **{"width": 96, "head_dim": 32, "ffn": 128, "prompt_tokens": 5, **config}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter.parameters():
            if parameter.abs().sum() == 0:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
            elif parameter.ndim > 1:
                scale = parameter[0].numel() ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return adapter.requires_grad_(False).eval()


def random_dap(*, seed: int = 0) -> DAP:
    """A real-time network in which every part has a say."""
    torch.manual_seed(seed)
    network = DAP(DAPConfig(channels=16, features=8, keys=8, levels=3, points=2, blocks=1))
    for offsets in network.offsets:
        torch.nn.init.normal_(offsets[-1].weight, std=0.1)
    return network.requires_grad_(False).eval()


def random_rdg(*, seed: int = 0) -> RDG:
    """Likewise, for renders."""
    torch.manual_seed(seed)
    network = RDG(8)
    for alpha in network.skip_alphas:
        torch.nn.init.normal_(alpha)
    return network.requires_grad_(False).eval()
