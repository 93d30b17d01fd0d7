"""The real-time networks made as fast as a device allows."""

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
    """Move a network to where and how it is to run; itself, ready to answer.

    Frames and buffers may stay float32 whatever ``dtype`` is: steps turn what they can use into it, and keep positions
    and the enlarged frame in single precision.

    Args:
        dtype: float16 is nearer to float32 than bfloat16 is.
        channels_last: the layout convolutions like best; all a step holds follows the weights.
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network.to(device=torch.device(device), dtype=dtype)
    network.to(memory_format=layout)  # type: ignore[call-overload]  # not among the ways that are declared
    return network.requires_grad_(False).eval()


def optimize_step(network: DAP | RDG, *, compiled: bool = False, graphed: bool = True) -> Step:
    """The network's step for one stream of frames of one size.

    Args:
        compiled: let torch fuse it; takes a minute at the first frames, and a C++ compiler (CPU) or Triton (CUDA).
        graphed: replay it as CUDA graphs on CUDA; elsewhere no difference. See :class:`cuda_graphs.GraphedStep` for its
            state.

    Returns:
        (inputs, state or None) -> (frame, state), as ``network.step``.
    """
    step: Step = network.step
    if compiled:
        step = torch.compile(step, fullgraph=True, dynamic=False)
    return GraphedStep(step) if graphed else step
