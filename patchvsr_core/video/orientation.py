"""How a decoded frame must be turned or mirrored to be shown: the eight orientations of a display matrix."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass

import av
import numpy as np

from .side_data import read_side_data

log = logging.getLogger("patchvsr")
SLANT = 0.02
"""Share of a matrix that is not a multiple of 90 degrees from which on it is reported, as about 1 degree."""


@dataclass(frozen=True)
class Orientation:
    """Transposed first, then mirrored."""

    is_transposed: bool = False
    flips_x: bool = False
    flips_y: bool = False

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, C) as it is shown; a view."""
        upright = pixels.swapaxes(0, 1) if self.is_transposed else pixels
        return upright[:: -1 if self.flips_y else 1, :: -1 if self.flips_x else 1]


def orientation(frame: av.VideoFrame) -> Orientation:
    """The orientation of a frame, of the nearest multiple of 90 degrees."""
    matrix = _matrix(frame)
    if matrix is None:
        return Orientation()
    (a, b), (c, d) = matrix  # x' = a x + c y; y' = b x + d y
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def warn_if_slanted(name: str, frame: av.VideoFrame) -> None:
    """Log what is done with a rotation by other than a multiple of 90 degrees."""
    (a, b), (c, d) = _matrix(frame) or ((1, 0), (0, 1))
    straight, across = abs(a) + abs(d), abs(b) + abs(c)
    if min(straight, across) > SLANT * max(straight, across):
        log.warning("%s is to be shown at a slant; it is turned to the nearest multiple of 90 degrees only.", name)


def _matrix(frame: av.VideoFrame) -> tuple[tuple[int, int], tuple[int, int]] | None:
    matrix = read_side_data(frame).get("DISPLAYMATRIX")
    if matrix is None:
        return None
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix[:36])
    return (a, b), (c, d)
