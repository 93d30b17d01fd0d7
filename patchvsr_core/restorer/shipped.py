"""The restorer that ships with PatchVSR."""

from __future__ import annotations

from functools import lru_cache

import torch

from ..weights import shipped
from .network import Restorer, load_restorer

FILE = "restorer.safetensors"


@lru_cache(maxsize=2)
def shipped_restorer(device: str = "cpu", dtype: torch.dtype = torch.float32) -> Restorer:
    """Load it onto a torch device in a precision, once.

    Raises:
        ModelError: when the file is missing or damaged.
    """
    return load_restorer(shipped(FILE)).to(device, dtype)
