"""Progress bars; a test listens with ``set_progress_bar_global_hook``."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

PROGRESS_BAR_ENABLED = False
_hook: Any = None


def set_progress_bar_global_hook(function: Any) -> None:
    global _hook  # noqa: PLW0603 - the real one is global too
    _hook = function


class ProgressBar:
    def __init__(self, total: int, node_id: str | None = None) -> None:
        self.total, self.current, self.node_id = total, 0, node_id

    def update_absolute(self, value: int, total: int | None = None, preview: Any = None) -> None:
        self.total = self.total if total is None else total
        self.current = min(value, self.total)
        if _hook is not None:
            _hook(self.current, self.total, preview, node_id=self.node_id)

    def update(self, value: int) -> None:
        self.update_absolute(self.current + value)


def repeat_to_batch_size(tensor: Tensor, batch_size: int, dim: int = 0) -> Tensor:
    copies = -(-batch_size // tensor.shape[dim])
    return tensor.repeat(*[1] * dim, copies, *[1] * (tensor.ndim - 1 - dim)).narrow(dim, 0, batch_size)


def common_upscale(samples: Tensor, width: int, height: int, upscale_method: str, crop: str) -> Tensor:
    """To another size; the stand-in does not crop."""
    return F.interpolate(samples, (height, width), mode=upscale_method)
