"""Layers that bring their weights to the type of what they are given, whatever type a file had."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def _like(x: Tensor, weight: Tensor | None) -> Tensor | None:
    return None if weight is None else weight.to(x)


class _Linear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x), _like(x, self.bias))


class _Conv2d(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight.to(x), _like(x, self.bias))


class _Conv3d(nn.Conv3d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight.to(x), _like(x, self.bias))


class _LayerNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, _like(x, self.weight), _like(x, self.bias), self.eps)


class _RMSNorm(nn.RMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, _like(x, self.weight), self.eps)


class manual_cast:  # noqa: N801 - the real name
    Linear = _Linear
    Conv2d = _Conv2d
    Conv3d = _Conv3d
    LayerNorm = _LayerNorm
    RMSNorm = _RMSNorm
