"""Finds the usable parts of a video: within one shot, in motion, in focus."""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from ..video.shot_detection import ShotDetector

STILL_DIFFERENCE = 0.2 / 255
SOFT_VARIANCE = 8.0
"""Variance of the Laplacian (8-bit values) below which a shot is out of focus."""
THUMB_PX = 96


def find_usable_shots(video: np.ndarray) -> list[tuple[int, int]]:
    """(first, end) of every shot that moves and is sharp; a video of one frame is one shot, of none there is none.

    Args:
        video: (T, H, W, 3) uint8.
    """
    if len(video) < 2:
        return [(0, 1)][: len(video)]
    detector = ShotDetector()
    borders = [0, *(k for k, frame in enumerate(video) if detector.begins_shot(frame)), len(video)]
    thumbs = np.stack([_thumb(frame) for frame in video])
    change = np.abs(np.diff(thumbs, axis=0)).mean(axis=(1, 2))
    shots = [(first, end) for first, end in itertools.pairwise(borders) if end - first > 1]
    return [
        (first, end)
        for first, end in shots
        if change[first : end - 1].mean() > STILL_DIFFERENCE and _sharpness(video[(first + end) // 2]) > SOFT_VARIANCE
    ]


def _thumb(frame: np.ndarray) -> np.ndarray:
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _sharpness(frame: np.ndarray) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
