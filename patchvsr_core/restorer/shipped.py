"""The restorer that ships with PatchVSR: two files of weights, and what lies between them."""

from __future__ import annotations

from functools import lru_cache

import torch

from ..settings import Settings
from ..weights import shipped
from .network import Restorer, blend_restorers, load_restorer

FILE, CRISP_FILE = "restorer.safetensors", "restorer_crisp.safetensors"
"""The most probable picture, and one as crisp as the original may have been."""


@lru_cache(maxsize=2)
def shipped_restorer(
    device: str = "cpu", dtype: torch.dtype = torch.float32, detail: float = Settings.detail
) -> Restorer:
    """Load it onto a torch device in a precision, once.

    Args:
        detail: 0 (most probable) to 1 (crispest).

    Raises:
        ModelError: when a file is missing or damaged.
    """
    restorer = load_restorer(shipped(FILE))
    if detail:
        restorer = blend_restorers(restorer, load_restorer(shipped(CRISP_FILE)), detail)
    return restorer.to(device, dtype)
