"""RAFT (Teed & Deng 2020) as implemented in torchvision, with weights that the user provides.

torchvision is optional: it is imported only when weights are loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ModelError
from ..errors.finite import check_finite, mark_source
from ..files import check_weights, explain_read_errors, read_checkpoint

STEM = "feature_encoder.convnormrelu.0.weight"
NETWORKS = {64: "raft_large", 32: "raft_small"}
"""torchvision's networks by output channels of the stem."""
UPDATES = 20
"""Flow updates, as many as Upscale-A-Video runs."""
CELL_PX = 8
"""Sides of frames must be multiples of this."""
MIN_SIDE_PX = 128
"""Minimum side: smaller frames leave nothing of the coarsest of the four correlation levels."""


def raft(path: str | Path, device: torch.device | str = "cpu") -> Callable[[Tensor, Tensor], Tensor]:
    """Create an estimator from a file of weights; see :func:`load_raft`."""
    return estimator_from_module(load_raft(path).to(device))


def estimator_from_module(module: nn.Module, device: torch.device | str | None = None) -> Callable[..., Tensor]:
    """Turn a loaded RAFT into an estimator.

    Args:
        module: takes two (B, 3, H, W) in [-1, 1], sides multiples of 8, and returns a list of flows, the final one
            last, as torchvision's do.
        device: where to run it; None for the device of its weights at every call.
    """

    @torch.no_grad()
    def estimate(first: Tensor, second: Tensor) -> Tensor:
        weight = next(module.parameters())
        height, width = first.shape[-2:]
        a, b = (_pad(frames.to(device or weight.device, weight.dtype)) * 2 - 1 for frames in (first, second))
        # the correlation volume grows with the square of the pixels: one pair at a time
        flows = [module(*pair, num_flow_updates=UPDATES)[-1] for pair in zip(a.split(1), b.split(1), strict=True)]
        flow = torch.cat(flows)[..., :height, :width].to(first.device, torch.float32)
        return check_finite(flow, "RAFT network", module)

    return estimate


def load_raft(path: str | Path) -> nn.Module:
    """Load a RAFT network; its variant is detected from the shapes in the file.

    Args:
        path: .safetensors, or .pth as torchvision saves it (read without running code from it).

    Raises:
        ModelError: when the file cannot be used, or torchvision is not installed.
    """
    path = Path(path)
    state = {name.removeprefix("module."): tensor for name, tensor in read_checkpoint(path, "RAFT").items()}
    name = NETWORKS.get(state[STEM].shape[0]) if STEM in state and state[STEM].ndim else None
    if name is None:
        raise ModelError(
            f"{path.name} has no RAFT weights in torchvision's layout; use raft_large or raft_small as torchvision "
            "publishes them."
        )
    with explain_read_errors(path):
        check_weights({name: tensor for name, tensor in state.items() if tensor.is_floating_point()})
    network: nn.Module = getattr(_torchvision_networks(), name)(weights=None, progress=False)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"The tensors in {path.name} do not fit torchvision's {name}; download it again.") from error
    return mark_source(network.float().requires_grad_(False).eval(), path)


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
    """Pad by repeating the last row and column, to multiples of 8 and the minimum side."""
    height, width = frames.shape[-2:]
    down, across = (max(MIN_SIDE_PX, -(-side // CELL_PX) * CELL_PX) - side for side in (height, width))
    return F.pad(frames, (0, across, 0, down), mode="replicate")
