"""Straight and fine structure drawn over photographs: bars, grids, wires and letters.

Landscapes and faces have little of it, and a network that has seldom seen the slats of a blind or
a fence far away breaks them into dots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

PERIODS_PX = (5.0, 120.0)
"""From line to line; the shortest are too fine to be seen in the input, which has to be learned, too."""
DUTY = (0.06, 0.6)
"""Width of a line over the period."""
LEAST_WIDTH_PX = 1.0
SOFTNESS_PX = (1.0, 2.5)
"""Over which the edge of a line goes from nothing to full cover; 1 is as sharp as pixels can be."""
TILT = 0.35
"""Deviation of the relative change of the period across the picture, as of a plane that is seen at a slant."""
BEND = 0.02
"""Deviation of how far lines bow, relative to the side of the picture."""
FADING, MOST_LAYERS = 0.3, 3
"""Of graphics: share with a ground that fades from top to bottom, and kinds of structure on it."""
SHIFT_BITS = 4
"""Of the fractions of a pixel in what OpenCV draws."""


def draw_line_work(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """A copy of the picture with structure of one kind, in one colour, over all or a part of it.

    Args:
        picture: (H, W, 3) bytes.
    """
    size = picture.shape[:2]
    cover = _KINDS[int(rng.integers(len(_KINDS)))](rng, size)
    if rng.random() < 0.6:
        cover = cover * _draw_region(rng, size)
    cover = cover[:, :, None] * rng.uniform(0.6, 1.0)
    return (picture + cover * (_draw_colour(rng, picture) - picture)).round().clip(0, 255).astype(np.uint8)


def draw_graphic(rng: np.random.Generator, size: Sequence[int]) -> np.ndarray:
    """(height, width, 3) bytes of a title or a drawing: structure on one colour, or on one that fades into another."""
    first, second = _draw_ground(rng), _draw_ground(rng)
    fade = np.linspace(0, 1, size[0])[:, None, None] * (rng.random() < FADING)
    picture = np.broadcast_to(first + fade * (second - first), (*size, 3)).round().astype(np.uint8)
    for _ in range(int(rng.integers(MOST_LAYERS + 1))):
        picture = draw_line_work(rng, picture)
    return picture


def _draw_ground(rng: np.random.Generator) -> np.ndarray:
    """(3,): black, white, a grey or any colour."""
    kind = rng.random()
    if kind < 0.3:
        return np.full(3, 0.0 if kind < 0.2 else 255.0)
    return np.full(3, rng.uniform(0, 255)) if kind < 0.55 else rng.uniform(0, 255, 3)


def _draw_colour(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """(3,) of the lines: dark or bright, nearly grey, or one of the picture's own."""
    if rng.random() < 0.3:
        return picture[int(rng.integers(picture.shape[0])), int(rng.integers(picture.shape[1]))].astype(np.float64)
    grey = rng.uniform(0, 70) if rng.random() < 0.6 else rng.uniform(170, 255)
    return (grey + rng.normal(0, 12, 3)).clip(0, 255)


def _draw_bars(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W) cover of one row of parallel lines."""
    return _lines(rng, size, rng.uniform(0, np.pi))


def _draw_grid(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Two rows that cross, most at a right angle."""
    angle = rng.uniform(0, np.pi)
    other = angle + np.pi / 2 + (rng.normal(0, 0.3) if rng.random() < 0.4 else 0.0)
    return np.maximum(_lines(rng, size, angle), _lines(rng, size, other))


def _lines(rng: np.random.Generator, size: tuple[int, int], angle: float) -> np.ndarray:
    """(H, W) cover of lines at an angle, seen at a slant and a little bent."""
    side = max(size)
    y, x = (np.arange(n) - n / 2 for n in size)
    across = np.cos(angle) * x[None, :] + np.sin(angle) * y[:, None]
    along = np.cos(angle) * y[:, None] - np.sin(angle) * x[None, :]
    bowed = across + rng.normal(0, BEND) * side * (2 * along / side) ** 2
    tilt = rng.normal(0, TILT, 2)
    depth = 1 + (tilt[0] * along + tilt[1] * across) / (2 * side)
    period = np.exp(rng.uniform(*np.log(PERIODS_PX)))
    phase = bowed / np.maximum(depth, 0.25) / period + rng.random()
    slope = np.maximum(np.hypot(*np.gradient(phase)), 1e-6)
    half = np.maximum(np.exp(rng.uniform(*np.log(DUTY))) / slope, LEAST_WIDTH_PX) / 2
    distance = np.abs(phase - np.round(phase)) / slope
    return ((half - distance) / rng.uniform(*SOFTNESS_PX) + 0.5).clip(0, 1)


def _draw_wires(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W) cover of a few thin lines from side to side, straight or hanging."""
    height, width = size
    cover = np.zeros(size, np.uint8)
    for _ in range(int(rng.integers(2, 9))):
        x = np.linspace(-8, width + 8, 33)
        ends = rng.uniform(-0.3, 1.3, 2) * height
        sag = rng.normal(0, 0.1) * height * (1 - (2 * x / width - 1) ** 2)
        points = np.stack([x, np.interp(x, (0, width), ends) + sag], 1)
        fixed = (points * 2**SHIFT_BITS).round().astype(np.int32)
        cv2.polylines(cover, [fixed], False, 255, int(rng.integers(1, 4)), cv2.LINE_AA, SHIFT_BITS)
    return _soften(rng, np.rot90(cover) if height == width and rng.random() < 0.5 else cover)


def _draw_letters(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W) cover of lines of random letters."""
    height, width = size
    cover = np.zeros(size, np.uint8)
    scale = float(np.exp(rng.uniform(*np.log((0.35, 2.0)))))
    font, thickness = int(rng.integers(0, 8)), max(1, round(scale * rng.uniform(0.8, 2.5)))
    step = int(30 * scale * rng.uniform(1.0, 1.5)) + 1
    for bottom in range(int(rng.integers(1, step + 1)), height + step, step):
        text = "".join(chr(code) for code in rng.integers(33, 127, int(width / (12 * scale)) + 1))
        left = int(rng.integers(-width // 4, width // 4 + 1))
        cv2.putText(cover, text, (left, bottom), font, scale, 255, thickness, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 8)), 1.0)
    return _soften(rng, cv2.warpAffine(cover, turn, (width, height), flags=cv2.INTER_CUBIC))


def _soften(rng: np.random.Generator, cover: np.ndarray) -> np.ndarray:
    """(H, W) of bytes as cover in [0, 1], at times as a lens would show it."""
    cover = np.ascontiguousarray(cover)
    if rng.random() < 0.5:
        cover = cv2.GaussianBlur(cover, (0, 0), float(rng.uniform(0.3, 0.8)))
    return cover.astype(np.float64) / 255


def _draw_region(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W) 1 in a quadrangle, as of a window, and 0 around it."""
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) - 0.5
    middle, sides = rng.uniform(0.3, 0.7, 2), rng.uniform(0.3, 1.0, 2)
    placed = (middle + corners * sides + rng.normal(0, 0.05, (4, 2))) * (size[1], size[0])
    region = np.zeros(size, np.uint8)
    fixed = (placed * 2**SHIFT_BITS).round().astype(np.int32)
    cv2.fillConvexPoly(region, fixed, 255, cv2.LINE_AA, SHIFT_BITS)
    return region.astype(np.float64) / 255


_KINDS: tuple[Callable[[np.random.Generator, tuple[int, int]], np.ndarray], ...] = (
    _draw_bars,
    _draw_bars,
    _draw_grid,
    _draw_wires,
    _draw_letters,
)
"""What there is to draw; bars twice as often as each of the others."""
