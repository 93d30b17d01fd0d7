"""Shot boundary detection.

At a cut the colour histogram changes, and optical flow cannot explain the new frame. A pan, a flash or
a fast object does not cause both.
"""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from ..optical_flow.inverse_search import DenseInverseSearch

THUMBNAIL_PX = 128
"""Longer side of the thumbnails that are compared."""
BINS = 8
UNEXPLAINED = 0.45
"""Minimum residual after motion compensation at a cut, relative to the frame's contrast."""
EVIDENCE = 0.2
"""Minimum product of that residual and the distance of colour histograms (Bhattacharyya, 0 to 1)."""


class ShotDetector:
    """Detects cuts frame by frame, in order; keeps one thumbnail."""

    def __init__(self) -> None:
        self._flow = DenseInverseSearch("fast")
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def begins_shot(self, frame: np.ndarray) -> bool:
        """Whether a cut lies before this frame; never before the first.

        Args:
            frame: (H, W, 3) uint8 RGB.
        """
        thumb = _thumbnail(frame)
        histogram = cv2.calcHist([thumb], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3)
        cv2.normalize(histogram, histogram, 1.0, norm_type=cv2.NORM_L1)
        last, self._last = self._last, (thumb, histogram)
        if last is None:
            return False
        distance = cv2.compareHist(last[1], histogram, cv2.HISTCMP_BHATTACHARYYA)
        if distance <= EVIDENCE:  # the residual cannot be far above 1
            return False
        unexplained = self._unexplained(last[0], thumb)
        return unexplained > UNEXPLAINED and distance * unexplained > EVIDENCE

    def _unexplained(self, before: np.ndarray, after: np.ndarray) -> float:
        """Mean residual after motion compensation of two thumbnails normalised in brightness and contrast."""
        first, second = (_normalise(cv2.cvtColor(thumb, cv2.COLOR_RGB2GRAY)) for thumb in (before, after))
        flow = self._flow.measure(first, second)
        height, width = first.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        moved = cv2.remap(second, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        contrast = max(float(first.std() + second.std()) / 2, 1.0)
        return float(np.abs(first.astype(np.float32) - moved).mean()) / contrast


def detect_cuts(frames: Tensor) -> tuple[int, ...]:
    """Detect the first frames of new shots in a clip, (T, H, W, 3 or more) in [0, 1]."""
    detector = ShotDetector()
    shown = ((frame[..., :3].clamp(0, 1) * 255).round().byte().cpu().numpy() for frame in frames)
    return tuple(index for index, frame in enumerate(shown) if detector.begins_shot(frame))


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    return cv2.resize(frame, thumbnail_size(frame.shape[1], frame.shape[0]), interpolation=cv2.INTER_AREA)


def thumbnail_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of the thumbnail of a frame."""
    factor = THUMBNAIL_PX / max(width, height)
    return max(16, round(width * factor)), max(16, round(height * factor))


def _normalise(gray: np.ndarray) -> np.ndarray:
    """8-bit image of normalised brightness and contrast, so that a flash is not a cut."""
    values = (gray.astype(np.float32) - gray.mean()) / max(float(gray.std()), 2.0)
    return np.clip(values * 48 + 128, 0, 255).astype(np.uint8)
