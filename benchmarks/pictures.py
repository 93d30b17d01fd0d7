"""Pictures of results: every version of the middle frame, and crops of it side by side at 1:1."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

CROP = 240
"""Side of a crop, pixels."""
BAR = 24
"""Height of a label, pixels."""

Versions = dict[str, np.ndarray]
"""One frame by the name of what made it: (H, W, 3) uint8, blue first as OpenCV has it."""


def middle(frames: Tensor) -> np.ndarray:
    """The middle frame of (T, H, W, 3) in [0, 1] as a picture."""
    pixels = (frames[len(frames) // 2].clamp(0, 1) * 255).round().byte().numpy()
    return np.ascontiguousarray(pixels[:, :, ::-1])


def save_versions(folder: Path, stem: str, versions: Versions, compared: dict[str, str]) -> None:
    """Every version as a PNG, and those in ``compared`` (name: label) side by side."""
    for name, picture in versions.items():
        write_png(folder / f"{stem}_{name.replace(' ', '')}.png", picture)
    chosen = {label: versions[name] for name, label in compared.items() if name in versions}
    crops = [labelled(crop, label) for label, crop in detailed_crops(chosen).items()]
    write_png(folder / f"{stem}_compare.png", np.concatenate(crops, axis=1))


def contact_sheet(clips: dict[str, Versions]) -> np.ndarray:
    """Rows are clips, columns versions; every clip has the same versions, the last being the original."""
    rows = []
    for clip, versions in clips.items():
        crops = [labelled(squared(crop), name) for name, crop in detailed_crops(versions).items()]
        row = np.concatenate(crops, axis=1)
        rows.append(np.concatenate([bar(row.shape[1], clip), row]))
    return np.concatenate(rows)


def detailed_crops(versions: Versions) -> Versions:
    """The same square of every version: where the last one, the original, has most detail."""
    top, left = most_detailed(list(versions.values())[-1])
    return {name: picture[top : top + CROP, left : left + CROP] for name, picture in versions.items()}


def most_detailed(picture: np.ndarray) -> tuple[int, int]:
    """Top left corner of the square with the strongest fine detail; (0, 0) on an axis without room."""
    height, width = (min(CROP, side) for side in picture.shape[:2])
    energy = np.abs(cv2.Laplacian(picture.astype(np.float32), cv2.CV_32F)).sum(axis=2)
    means = cv2.boxFilter(energy, -1, (width, height), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    valid = means[: picture.shape[0] - height + 1, : picture.shape[1] - width + 1]
    top, left = np.unravel_index(valid.argmax(), valid.shape)
    return int(top), int(left)


def squared(crop: np.ndarray) -> np.ndarray:
    """A crop of a small picture on a grey square, so that rows of a sheet fit."""
    square = np.full((CROP, CROP, 3), 128, np.uint8)
    square[: crop.shape[0], : crop.shape[1]] = crop
    return square


def labelled(picture: np.ndarray, text: str) -> np.ndarray:
    """The picture with its name below."""
    return np.concatenate([picture, bar(picture.shape[1], text)])


def bar(width: int, text: str) -> np.ndarray:
    """Black on white."""
    picture = np.full((BAR, width, 3), 255, np.uint8)
    cv2.putText(picture, text, (6, BAR - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return picture


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", picture)
    path.write_bytes(data.tobytes())
