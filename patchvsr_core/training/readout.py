"""A start for RDG, which has no shortcut from its input: a third of a decibel below bicubic, where training takes off.

The first features carry the picture itself, what is added to them is quiet, and the last layer is fitted.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..realtime.rdg import RDG

QUIET = 0.3
"""How loud what decoders add begins, relative to a usual start."""
STIFFNESS = 1e-6
"""Of the fit, relative to the mean square of the features: small features stay unused."""


@torch.no_grad()
def fit_readout_(layer: nn.Conv2d, features: Tensor, wanted: Tensor) -> None:
    """Give a convolution the weights that make ``wanted`` of ``features`` best (ridge regression).

    Args:
        layer: with a bias, of one group, that keeps the size.
        features: (N, channels, h, w).
        wanted: (N, layer's channels, h, w).
    """
    side, padding = layer.kernel_size[0], int(layer.padding[0])
    columns = F.unfold(features.double(), side, padding=padding).movedim(1, -1).flatten(0, 1)
    columns = torch.cat([columns, torch.ones_like(columns[:, :1])], 1)
    targets = wanted.double().flatten(2).movedim(1, -1).flatten(0, 1)
    square = columns.T @ columns
    penalty = STIFFNESS * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
    penalty[-1, -1] = 0
    found = torch.linalg.solve(square + penalty, columns.T @ targets).T
    layer.weight.copy_(found[:, :-1].view_as(layer.weight))
    assert layer.bias is not None
    layer.bias.copy_(found[:, -1])


@torch.no_grad()
def pass_picture_(network: RDG) -> None:
    """The first three features are the picture; what the network adds to them begins small."""
    first, last = network.first_conv, network.get_submodule("decoders.1")
    middle = first.kernel_size[0] // 2
    first.weight[:3] = 0
    assert first.bias is not None
    first.bias[:3] = 0
    for channel in range(3):
        first.weight[channel, channel, middle, middle] = 1
    added = [last.get_submodule(name) for name in ("hfb.proj_out", "ctr.proj_out", "ffn.fn.2")]
    for layer in (network.get_submodule("ups.1.conv"), *added):
        for parameter in layer.parameters():
            parameter.mul_(QUIET)
