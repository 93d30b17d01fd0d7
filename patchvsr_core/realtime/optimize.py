"""Speed optimisations of the real-time networks: memory format, precision, compilation, CUDA graphs."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from .cuda_graphs import GraphedStep, Step
from .dap import DAP
from .rdg import RDG

Network = TypeVar("Network", bound=nn.Module)


def prepare(
    network: Network, *, device: torch.device | str, dtype: torch.dtype = torch.float32, channels_last: bool = True
) -> Network:
    """Prepare a network for inference on a device; modifies and returns it.

    Frames and buffers may stay float32 whatever ``dtype`` is: steps cast what they can, and keep coordinates and the
    upsampled frame in float32.

    Args:
        dtype: float16 is closer to float32 than bfloat16.
        channels_last: the fastest memory format for convolutions; activations follow the weights.
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network.to(device=torch.device(device), dtype=dtype)
    network.to(memory_format=layout)  # type: ignore[call-overload]  # missing from the declared overloads
    return network.requires_grad_(False).eval()


def optimize_step(network: DAP | RDG, *, compiled: bool = False, graphed: bool = True) -> Step:
    """Optimise the network's step for one stream of frames of one size.

    Args:
        compiled: use torch.compile; adds a minute at the start, and needs a C++ compiler (CPU) or Triton (CUDA).
        graphed: replay as CUDA graphs on CUDA; no effect elsewhere. See :class:`cuda_graphs.GraphedStep` about the
            returned state.

    Returns:
        (inputs, state or None) -> (frame, state), as ``network.step``.
    """
    step: Step = network.step
    if compiled:
        step = torch.compile(step, fullgraph=True, dynamic=False)
    return GraphedStep(step) if graphed else step
