"""What is common to the batches of all tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor


def move_batch(batch: Any, device: torch.device | str) -> Any:
    """A copy of a batch, a dataclass, with its tensors on ``device``."""
    tensors = {name: value.to(device) for name, value in vars(batch).items() if isinstance(value, Tensor)}
    return replace(batch, **tensors)
