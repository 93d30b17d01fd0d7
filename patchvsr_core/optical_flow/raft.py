"""RAFT (Teed & Deng 2020) in torchvision's form, with weights that the user has.

torchvision is no requirement: it is asked for only when a file of weights is to be loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ModelError
from ..files import read_checkpoint

STEM = "feature_encoder.convnormrelu.0.weight"
NETWORKS = {64: "raft_large", 32: "raft_small"}
"""torchvision's networks by the channels of the stem."""
UPDATES = 20
"""Rounds of refinement, as Upscale-A-Video runs them."""
CELL_PX = 8
"""The network works on cells of so many pixels."""
MIN_SIDE_PX = 128
"""Shortest side that leaves something of the coarsest of its four levels."""


def raft(path: str | Path, device: torch.device | str = "cpu") -> Callable[[Tensor, Tensor], Tensor]:
    """An estimator from a file of weights; see :func:`load_raft`."""
    return estimator_from_module(load_raft(path).to(device))


def estimator_from_module(module: nn.Module, device: torch.device | str | None = None) -> Callable[..., Tensor]:
    """A loaded RAFT as an estimator.

    Args:
        module: takes two (B, 3, H, W) in [-1, 1], sides multiples of 8, and answers a list of flows, the best one
            last, as torchvision's do.
        device: where to run it; None asks its weights at every call.
    """

    @torch.no_grad()
    def estimate(first: Tensor, second: Tensor) -> Tensor:
        weight = next(module.parameters())
        height, width = first.shape[-2:]
        a, b = (_pad(frames.to(device or weight.device, weight.dtype)) * 2 - 1 for frames in (first, second))
        # the correlations of a pair grow with the square of its pixels: one pair at a time
        flows = [module(*pair, num_flow_updates=UPDATES)[-1] for pair in zip(a.split(1), b.split(1), strict=True)]
        return torch.cat(flows)[..., :height, :width].to(first.device, torch.float32)

    return estimate


def load_raft(path: str | Path) -> nn.Module:
    """The network that a file's shapes imply, ready to run.

    Args:
        path: .safetensors, or .pth as torchvision saves it (read without running code from it).

    Raises:
        ModelError: in one sentence, why it cannot be used.
    """
    path = Path(path)
    state = {name.removeprefix("module."): tensor for name, tensor in read_checkpoint(path, "RAFT").items()}
    name = NETWORKS.get(len(state[STEM])) if STEM in state else None
    if name is None:
        raise ModelError(
            f"{path.name} holds no RAFT in torchvision's layout; choose raft_large or raft_small as torchvision "
            "publishes them."
        )
    network: nn.Module = getattr(_torchvision_networks(), name)(weights=None, progress=False)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"The tensors in {path.name} are not those of torchvision's {name}; get it again.") from error
    return network.float().requires_grad_(False).eval()


def _torchvision_networks() -> Any:
    try:
        from torchvision.models import optical_flow
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise ModelError(
            "RAFT needs torchvision, which cannot be imported here; install the one that belongs to your torch, "
            "or choose dis, farneback or pyramid."
        ) from error
    return optical_flow


def _pad(frames: Tensor) -> Tensor:
    """Its last row and column repeated, up to whole cells and the least size."""
    height, width = frames.shape[-2:]
    down, across = (max(MIN_SIDE_PX, -(-side // CELL_PX) * CELL_PX) - side for side in (height, width))
    return F.pad(frames, (0, across, 0, down), mode="replicate")
