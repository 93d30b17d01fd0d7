"""Stops a run whose network returns NaN or Inf: encoded, that would be a black film and an exit without an error."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from .exceptions import ModelError

Module = TypeVar("Module", bound=nn.Module)

SOURCE = "weights_file"
"""Attribute of a module: the name of the file that it was loaded from."""


def mark_source(module: Module, path: Path) -> Module:
    """Keep the name of a module's file, for messages."""
    object.__setattr__(module, SOURCE, path.name)
    return module


def all_finite(*values: Tensor) -> bool:
    """Whether no tensor holds NaN or Inf: their sums show it, which costs one reading each."""
    return all(math.isfinite(float(tensor.sum(dtype=torch.float32))) for tensor in values)


def check_finite(values: Tensor, network: str, *modules: nn.Module | None) -> Tensor:
    """Return what a network returned; call it where frames or latents leave one.

    While gradients are recorded nothing is checked: training skips a step that is not finite by itself.

    Args:
        network: what it is called in messages.
        modules: those whose files may be the reason, as :func:`mark_source` marked them.

    Raises:
        ModelError: naming network and files, when a value is NaN or Inf.
    """
    if torch.is_grad_enabled() or all_finite(values):
        return values
    files = [name for module in modules if (name := getattr(module, SOURCE, None))]
    named = f" ({', '.join(files)})" if files else ""
    raise ModelError(
        f"The {network}{named} returned NaN or Inf instead of a picture; get its weights again, use others, or run it "
        "in single precision."
    )
