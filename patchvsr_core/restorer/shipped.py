"""The restorer that ships with PatchVSR: files of weights, and what lies between them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..degradation import CLEAN, MeasuredDegradation
from ..settings import Settings
from ..weights import shipped
from .network import Restorer, blend_restorers, load_restorer
from .restore import restore_clip

FILE, CRISP_FILE = "restorer.safetensors", "restorer_crisp.safetensors"
"""The most probable picture, and one as crisp as the original may have been."""
COMPRESSED_FILE = "restorer_compressed.safetensors"
"""For compressed clips, of which the most probable picture is a blur."""


@lru_cache(maxsize=2)
def shipped_restorer(
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    detail: float = Settings.detail,
    *,
    compressed: bool = False,
) -> Restorer:
    """Load it onto a torch device in a precision, once.

    Args:
        detail: 0 (most probable) to 1 (crispest).
        compressed: with the weights for compressed clips, see :func:`degradation.is_compressed`.

    Raises:
        ModelError: when a file is missing or damaged.
    """
    restorer = load_restorer(shipped(COMPRESSED_FILE if compressed else FILE))
    if detail:
        faithful, crisp = load_restorer(shipped(FILE)), load_restorer(shipped(CRISP_FILE))
        restorer = blend_restorers(faithful, crisp, detail, restorer)
    return restorer.to(device, dtype)


def restore_as_shipped(
    frames: Tensor,
    size: tuple[int, int] | None = None,
    *,
    detail: float = Settings.detail,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    degradation: MeasuredDegradation = CLEAN,
    **choices: Any,
) -> Tensor:
    """Restore a clip with the shipped weights that suit it, which are loaded when they are needed.

    Args:
        frames, size, choices: see :func:`restore.restore_clip`, also for the result.
        detail, dtype: see :func:`shipped_restorer`.
        device: of the network; None: where the frames are.
        degradation: what is to be removed from the clip.
    """
    where = str(device or frames.device)
    restorer = shipped_restorer(where, dtype, detail, compressed=degradation.is_compressed)
    return restore_clip(restorer, frames, size, degradation=degradation.level, **choices)
