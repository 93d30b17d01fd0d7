"""Validates a run: clips upscaled by the product itself, beside what needs no network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..finish.back_projection import back_project
from ..resample import resize
from ..video import read_frames
from .degrade import make_input
from .footage import VIDEO

FRAMES = 5
SIDE_PX = 384
SHOWN_PX = 192
Method = Callable[[Tensor, tuple[int, int]], Tensor]
"""(T, h, w, 3) frames and (height, width) to (T, height, width, 3) frames."""
COLUMNS = ("bicubic", "bicubic + b.-p.", "model", "original")


def validate(method: Method, folder: Path, scale: int, sheet: Path) -> dict[str, float]:
    """Mean PSNR over the middle of the first frames of every clip, and a contact sheet at 1:1.

    Args:
        method: what is trained.
        folder: clips that are not trained on.
        sheet: PNG to write.

    Returns:
        decibels by the names of the columns.
    """
    rows, scores = [], []
    for path in sorted(file for file in folder.rglob("*") if file.suffix.lower() in VIDEO):
        truth = _middle(read_frames(path, FRAMES), scale)
        size = int(truth.shape[1]), int(truth.shape[2])
        small = make_input(truth, (size[0] // scale, size[1] // scale))
        bicubic = resize(small, size)
        versions = (bicubic, back_project(bicubic, small), method(small, size))
        scores.append([psnr(version, truth) for version in versions])
        rows.append(np.concatenate([_shown(version) for version in (*versions, truth)], axis=1))
    if rows:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(sheet), np.concatenate([_labels(rows[0].shape[1]), *rows]))
    means = np.array(scores).mean(axis=0) if scores else []
    return {name: float(mean) for name, mean in zip(COLUMNS[:3], means, strict=False)}


def psnr(frames: Tensor, truth: Tensor) -> float:
    """Decibels over all frames and channels."""
    return float(-10 * (frames.clamp(0, 1) - truth).square().mean().clamp(min=1e-10).log10())


def _middle(frames: Tensor, scale: int) -> Tensor:
    height, width = (min(SIDE_PX, length) // scale * scale for length in frames.shape[1:3])
    top, left = (frames.shape[1] - height) // 2, (frames.shape[2] - width) // 2
    return frames[:, top : top + height, left : left + width]


def _shown(frames: Tensor) -> np.ndarray:
    """The middle of the middle frame, BGR; smaller pictures are set on black."""
    picture = frames[len(frames) // 2].clamp(0, 1)
    top, left = (max(0, (length - SHOWN_PX) // 2) for length in picture.shape[:2])
    part = (picture[top : top + SHOWN_PX, left : left + SHOWN_PX] * 255).round().to(torch.uint8).cpu().numpy()
    out = np.zeros((SHOWN_PX, SHOWN_PX, 3), np.uint8)
    out[: part.shape[0], : part.shape[1]] = part[:, :, ::-1]
    return out


def _labels(width: int) -> np.ndarray:
    bar = np.full((20, width, 3), 255, np.uint8)
    for column, text in enumerate(COLUMNS):
        cv2.putText(bar, text, (column * SHOWN_PX + 4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return bar
