"""The restorer that ships with PatchVSR."""

from __future__ import annotations

from functools import lru_cache

from ..weights import shipped
from .network import Restorer, load_restorer

FILE = "restorer.safetensors"


@lru_cache(maxsize=2)
def shipped_restorer(device: str = "cpu") -> Restorer:
    """Load it onto a torch device, once.

    Raises:
        ModelError: when the file is missing or damaged.
    """
    return load_restorer(shipped(FILE)).to(device)
