"""The restorer that ships with PatchVSR: two files of weights, and what lies between them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..settings import Settings
from ..weights import shipped
from .network import Restorer, blend_restorers, load_restorer
from .restore import restore_clip

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


def restore_as_shipped(
    frames: Tensor,
    size: tuple[int, int] | None = None,
    *,
    detail: float = Settings.detail,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    **choices: Any,
) -> Tensor:
    """Restore a clip with the shipped weights, which are loaded when they are needed.

    Args:
        frames, size, choices: see :func:`restore.restore_clip`, also for the result.
        detail, dtype: see :func:`shipped_restorer`.
        device: of the network; None: where the frames are.
    """
    return restore_clip(shipped_restorer(str(device or frames.device), dtype, detail), frames, size, **choices)
