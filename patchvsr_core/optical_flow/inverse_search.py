"""Dense inverse search (Kroeger et al. 2016) by OpenCV, for frames of any size.

OpenCV picks the depth of the pyramid from the width alone where a frame is small. At the coarsest level a wide,
low frame is then lower than a patch, and OpenCV reads beyond it: the process dies. Such frames are padded here, and
nothing else calls ``cv2.DISOpticalFlow``.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

MIN_SIDE_PX = 16
"""Minimum side of frames for OpenCV's estimators."""
WIDE_PX = 80
"""From this width on, OpenCV builds three or more levels for low frames; two are safe at 16 px."""
MIN_WIDE_HEIGHT_PX = 32
"""Minimum height of frames of that width: from here on, OpenCV limits the levels by the height too."""


class DenseInverseSearch:
    """An estimator for pairs of 8-bit grey images.

    OpenCV's object adapts to the first pair and keeps that: use one for frames of one size, or a new one for a pair.
    """

    def __init__(self, quality: str) -> None:
        # medium begins at a finer level, so the height limits its pyramid from 16 px on
        self._min_wide_height = MIN_SIDE_PX if quality == "medium" else MIN_WIDE_HEIGHT_PX
        self._engine: Any = cv2.DISOpticalFlow.create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{quality.upper()}"))

    def measure(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Flow from ``first`` to ``second``, both (H, W) uint8 of any size: (H, W, 2) float32 pixels (dx, dy)."""
        height, width = first.shape
        min_height = self._min_wide_height if width >= WIDE_PX else MIN_SIDE_PX
        pair = (pad_by_mirroring(image, min_height, MIN_SIDE_PX) for image in (first, second))
        return self._engine.calc(*pair, None)[:height, :width]


def pad_by_mirroring(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Extend (H, W) at the bottom and the right to a minimum size, in pixels."""
    pad = [(0, max(0, least - side)) for least, side in zip((height, width), image.shape, strict=True)]
    return np.ascontiguousarray(np.pad(image, pad, mode="symmetric"))
