"""Sheets of pictures with their names, and what is drawn on them.

Pictures are (H, W, 3): uint8, or in [0, 1] as long as nothing is drawn on them. ComfyUI shows them 400 pixels wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "web" / "docs"
WIDTH_PX = 480
BAR_PX = 22
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42
BLACK, GREY, PALE, WHITE = (0, 0, 0), (128, 128, 128), (225, 225, 225), (255, 255, 255)
BLUE, ORANGE, RED = (64, 204, 255), (255, 166, 51), (230, 60, 50)
"""The first two as patches over borders and over crossings are drawn everywhere."""
DIMMED = 0.6
"""Part of its light that a frame keeps behind outlines."""
QUALITIES = (82, 76, 70)
WANTED_BYTES = 36_000
"""A picture that would be larger is written at the next quality."""

Box = tuple[int, int, int, int]
"""(top, left, height, width), pixels."""
Point = tuple[int, int]
"""(x, y), pixels."""
Color = tuple[int, int, int]


def sheet(pictures: dict[str, np.ndarray], columns: int, gap_px: int = 0) -> np.ndarray:
    """Pictures of one size, each with its name below, on white."""
    cells = [np.concatenate([bytes_of(picture), label(text, picture.shape[1])]) for text, picture in pictures.items()]
    return table(cells, columns, gap_px)


def table(cells: Sequence[np.ndarray], columns: int, gap_px: int = 0) -> np.ndarray:
    """Pictures of one size in rows, apart from one another."""
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // columns)
    drawn = paper(rows * (height + gap_px) - gap_px, columns * (width + gap_px) - gap_px)
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        place(drawn, cell, (column * (width + gap_px), row * (height + gap_px)))
    return drawn


def paper(height: int, width: int = WIDTH_PX) -> np.ndarray:
    """White."""
    return np.full((height, width, 3), 255, np.uint8)


def label(text: str, width: int = WIDTH_PX) -> np.ndarray:
    """Black on white, (BAR_PX, width, 3)."""
    return write(paper(BAR_PX, width), text, (5, BAR_PX - 7), BLACK)


def write(picture: np.ndarray, text: str, at: Point, color: Color, scale: float = FONT_SCALE) -> np.ndarray:
    """Text that begins at a point on its base line."""
    return cv2.putText(picture, text, at, FONT, scale, color, 1, cv2.LINE_AA)


def note(picture: np.ndarray, text: str, at: Point, color: Color = WHITE) -> None:
    """Text on a dark ground, which can be read on any frame."""
    (wide, high), _ = cv2.getTextSize(text, FONT, FONT_SCALE, 1)
    cv2.rectangle(picture, (at[0] - 3, at[1] - high - 4), (at[0] + wide + 3, at[1] + 4), (18, 18, 18), cv2.FILLED)
    write(picture, text, at, color)


def place(picture: np.ndarray, part: np.ndarray, at: Point) -> None:
    """Put a picture into another."""
    height, width = part.shape[:2]
    picture[at[1] : at[1] + height, at[0] : at[0] + width] = bytes_of(part)


def outline(picture: np.ndarray, box: Box, color: Color, px: int = 2) -> None:
    """A rectangle whose line lies inside the box."""
    top, left, height, width = box
    last = left + width - 1 - px // 2, top + height - 1 - px // 2
    cv2.rectangle(picture, (left + px // 2, top + px // 2), last, color, px)


def arrow(picture: np.ndarray, start: Point, end: Point, color: Color, head_px: int = 9) -> None:
    """From a point to another."""
    length = max(1.0, float(np.hypot(end[0] - start[0], end[1] - start[1])))
    cv2.arrowedLine(picture, start, end, color, 2, cv2.LINE_AA, tipLength=head_px / length)


def bytes_of(picture: np.ndarray) -> np.ndarray:
    """From [0, 1] to uint8; uint8 stays as it is."""
    return picture if picture.dtype == np.uint8 else (picture.clip(0, 1) * 255).round().astype(np.uint8)


def scaled(picture: Tensor | np.ndarray, width: int, height: int) -> np.ndarray:
    """A frame in [0, 1] at another size, uint8."""
    pixels = np.ascontiguousarray(np.asarray(picture), dtype=np.float32)
    shrinks = width < pixels.shape[1]
    return bytes_of(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def half(picture: Tensor | np.ndarray) -> np.ndarray:
    """A frame in [0, 1] at half its size, uint8."""
    return scaled(picture, picture.shape[1] // 2, picture.shape[0] // 2)


def polyline(picture: np.ndarray, points: np.ndarray, color: Color) -> None:
    """A line through (N, 2) points."""
    cv2.polylines(picture, [points.round().astype(np.int32)], False, color, 2, cv2.LINE_AA)


def dimmed(picture: np.ndarray) -> np.ndarray:
    """As the ground of what is drawn."""
    return (picture * DIMMED).astype(np.uint8)


def save(name: str, pixels: np.ndarray) -> None:
    """Write a picture of a page as JPEG, in full colour resolution."""
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    smaller = [cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    for quality in QUALITIES:
        _, data = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling, *smaller])
        if len(data) <= WANTED_BYTES:
            break
    path = PAGES / f"{name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())
    print(f"{path.relative_to(ROOT)}: {pixels.shape[1]}x{pixels.shape[0]}, {len(data) / 1000:.0f} kB")
