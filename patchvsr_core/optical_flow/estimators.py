"""Optical flow estimators, by name and with a common interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import PlanError
from ..srgb import LUMA
from .lucas_kanade import pyramid
from .raft import raft

QUALITIES = ("ultrafast", "fast", "medium")
"""Presets of dense inverse search, from the fastest to the most accurate."""


class Estimator(Protocol):
    """A function that estimates the flow between frames."""

    def __call__(self, first: Tensor, second: Tensor, /) -> Tensor:
        """Flow from ``first`` to ``second``.

        Args:
            first, second: (B, 3, H, W) in [0, 1], on any device, of any size.

        Returns:
            (B, 2, H, W) float32 pixels, channels (dx, dy), on the device of ``first``.
        """


def dis(quality: str = "medium") -> Estimator:
    """Dense inverse search (Kroeger et al. 2016, OpenCV) on the frames' luma; runs on the CPU.

    Args:
        quality: one of :data:`QUALITIES`.

    Raises:
        PlanError: for an unknown quality.
    """
    if quality not in QUALITIES:
        raise PlanError(f"Unknown quality of DIS {quality!r}; choose one of {', '.join(QUALITIES)}.")

    def estimate(first: Tensor, second: Tensor, /) -> Tensor:
        # OpenCV is slow to import, and not needed by all users of the core
        from .inverse_search import DenseInverseSearch

        def measure(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return DenseInverseSearch(quality).measure(a, b)  # a used one keeps state of earlier frames

        return _estimate_on_luma(measure, first, second)

    return estimate


def farneback() -> Estimator:
    """Polynomial expansion (Farneback 2003, OpenCV) on the frames' luma; runs on the CPU."""

    def estimate(first: Tensor, second: Tensor, /) -> Tensor:
        import cv2

        from .inverse_search import MIN_SIDE_PX, pad_by_mirroring

        def measure(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            a, b = (pad_by_mirroring(image, MIN_SIDE_PX, MIN_SIDE_PX) for image in (a, b))
            start: Any = None
            scale, levels, window_px, rounds, neighbours_px, sigma = 0.5, 5, 15, 3, 7, 1.5
            return cv2.calcOpticalFlowFarneback(
                a, b, start, scale, levels, window_px, rounds, neighbours_px, sigma, flags=0
            )

        return _estimate_on_luma(measure, first, second)

    return estimate


ESTIMATORS: Mapping[str, Callable[..., Estimator]] = {
    "dis": dis,
    "farneback": farneback,
    "pyramid": pyramid,
    "raft": raft,
}
"""Factories of estimators by name; only ``raft`` has a required argument: the file of weights."""


def _estimate_on_luma(measure: Callable[[np.ndarray, np.ndarray], np.ndarray], first: Tensor, second: Tensor) -> Tensor:
    """Apply an estimator for 8-bit images pair by pair."""
    height, width = first.shape[-2:]
    flows = [measure(a, b)[:height, :width] for a, b in zip(_gray(first), _gray(second), strict=True)]
    return torch.from_numpy(np.stack(flows)).movedim(-1, 1).contiguous().to(first.device)


def _gray(frames: Tensor) -> list[np.ndarray]:
    """8-bit luma (BT.601)."""
    weights = torch.tensor(LUMA, device=frames.device)
    return list((frames.float().clamp(0, 1) * 255 * weights[:, None, None]).sum(1).round().byte().cpu().numpy())
