"""LPIPS and DISTS: how far two pictures look apart, by the features of networks trained on ImageNet.

Both are differentiable, to train with as well as to measure. Their weights are others' and do not
ship: a safetensors file is named by its path. It holds ``alexnet.conv0.weight`` to ``conv4``,
``vgg16.conv0`` to ``conv12`` (torchvision's layers in order, biases beside them), LPIPS v0.1's
linear weights ``alexnet.lin0`` to ``lin4`` and ``vgg16.lin0`` to ``lin4``, ``dists.alpha`` and
``dists.beta``.

Source: Zhang et al., CVPR 2018 (LPIPS); Ding et al., TPAMI 2020 (DISTS).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ModelError
from ..files import read_checkpoint

LEAST_PX = 64
"""Shortest side of a picture: below it the deepest features are empty."""
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LPIPS_SHIFT, LPIPS_SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""LPIPS's own normalisation, of pictures in [-1, 1]."""
UNIT_EPSILON, DISTS_EPSILON = 1e-10, 1e-6

Pool = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Architecture:
    """The convolutional part of a classifier."""

    strides: tuple[int, ...]
    paddings: tuple[int, ...]
    pooled_before: tuple[int, ...]
    """Convolutions before which the features are pooled."""
    kept: tuple[int, ...]
    """Convolutions after which they are compared."""


ARCHITECTURES = {
    "alexnet": _Architecture((4, 1, 1, 1, 1), (2, 2, 1, 1, 1), (1, 2), (0, 1, 2, 3, 4)),
    "vgg16": _Architecture((1,) * 13, (1,) * 13, (2, 4, 7, 10), (1, 3, 6, 9, 12)),
}


class Features(nn.Module):
    """Feature maps of a classifier at five depths.

    Raises:
        ModelError: when the file lacks a weight.
    """

    def __init__(self, weights: dict[str, Tensor], network: str) -> None:
        super().__init__()
        self.architecture = ARCHITECTURES[network]
        self.layers = len(self.architecture.strides)
        for index in range(self.layers):
            for kind in ("weight", "bias"):
                self.register_buffer(f"{kind}{index}", _weight(weights, f"{network}.conv{index}.{kind}"))

    def forward(self, x: Tensor, pool: Pool) -> list[Tensor]:
        """Of normalised pictures, (B, 3, H, W)."""
        chosen, kept = self.architecture, []
        for index in range(self.layers):
            x = pool(x) if index in chosen.pooled_before else x
            weight, bias = self.get_buffer(f"weight{index}"), self.get_buffer(f"bias{index}")
            x = F.relu(F.conv2d(x, weight, bias, chosen.strides[index], chosen.paddings[index]))
            if index in chosen.kept:
                kept.append(x)
        return kept


class LPIPS(nn.Module):
    """Learned perceptual image patch similarity, v0.1; 0 for equal pictures, lower is closer.

    Args:
        path: file of weights.
        network: ``alexnet`` to report, ``vgg16`` to train with.
    """

    def __init__(self, path: str | Path, network: str = "alexnet") -> None:
        super().__init__()
        weights = read_checkpoint(Path(path), "perceptual")
        self.features = Features(weights, network)
        self.pool = nn.MaxPool2d(3, 2) if network == "alexnet" else nn.MaxPool2d(2)
        for index in range(5):
            self.register_buffer(f"linear{index}", _weight(weights, f"{network}.lin{index}"))
        self.requires_grad_(False)

    def forward(self, pictures: Tensor, truth: Tensor) -> Tensor:
        """(B,) distances of (B, 3, H, W) pictures in [0, 1]."""
        depths = zip(*(self.features(_normalise_as_lpips(x), self.pool) for x in (pictures, truth)), strict=True)
        distances = [
            ((_unit(x) - _unit(y)).square() * self.get_buffer(f"linear{index}")[:, None, None]).sum(1).mean((1, 2))
            for index, (x, y) in enumerate(depths)
        ]
        return torch.stack(distances).sum(0)


class DISTS(nn.Module):
    """Deep image structure and texture similarity; 0 for equal pictures, lower is closer.

    Args:
        path: file of weights.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        weights = read_checkpoint(Path(path), "perceptual")
        self.features = Features(weights, "vgg16")
        for name in ("alpha", "beta"):
            self.register_buffer(name, _weight(weights, f"dists.{name}"))
        self.requires_grad_(False)

    def forward(self, pictures: Tensor, truth: Tensor) -> Tensor:
        """(B,) distances of (B, 3, H, W) pictures in [0, 1]."""
        depths = [(x, *self.features(_normalise_as_imagenet(x), _blur_pool)) for x in (pictures, truth)]
        channels = [x.shape[1] for x in depths[0]]
        structure, texture = (self.get_buffer(name).split(channels) for name in ("beta", "alpha"))
        likeness = pictures.new_zeros(len(pictures))
        for x, y, alpha, beta in zip(*depths, texture, structure, strict=True):
            (mean_x, variance_x), (mean_y, variance_y) = _moments(x), _moments(y)
            covariance = (x * y).mean((2, 3)) - mean_x * mean_y
            same_texture = _ratio(mean_x * mean_y, mean_x.square() + mean_y.square())
            same_structure = _ratio(covariance, variance_x + variance_y)
            likeness = likeness + (alpha * same_texture + beta * same_structure).sum(1)
        return 1 - likeness / (self.get_buffer("alpha").sum() + self.get_buffer("beta").sum())


def _weight(weights: dict[str, Tensor], name: str) -> Tensor:
    if name not in weights:
        raise ModelError(f"The file of perceptual weights lacks {name}; see training/perceptual.py for what it holds.")
    return weights[name].float().contiguous()


def _normalise_as_lpips(pictures: Tensor) -> Tensor:
    return _standardise(2 * pictures - 1, LPIPS_SHIFT, LPIPS_SCALE)


def _normalise_as_imagenet(pictures: Tensor) -> Tensor:
    return _standardise(pictures, IMAGENET_MEAN, IMAGENET_DEVIATION)


def _standardise(x: Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Tensor:
    return (x - x.new_tensor(mean)[:, None, None]) / x.new_tensor(deviation)[:, None, None]


def _unit(features: Tensor) -> Tensor:
    """Of length one along the channels."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + UNIT_EPSILON)


def _blur_pool(features: Tensor) -> Tensor:
    """DISTS halves features by the root of their blurred squares: no aliasing, no loss of energy."""
    line = features.new_tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(line, line).expand(features.shape[1], 1, 3, 3)
    squares = F.conv2d(features.square(), kernel, stride=2, padding=1, groups=features.shape[1])
    return (squares + 1e-12).sqrt()


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """(mean, variance) of every channel, (B, C)."""
    return features.mean((2, 3)), features.var((2, 3), correction=0)


def _ratio(shared: Tensor, whole: Tensor) -> Tensor:
    return (2 * shared + DISTS_EPSILON) / (whole + DISTS_EPSILON)
