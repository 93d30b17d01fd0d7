"""Pairs of a clip and the small, perhaps damaged version that it is to be restored from."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from patchvsr_core.errors import MediaError
from patchvsr_core.resample import resize
from patchvsr_core.training.degrade import Degradation, make_input
from patchvsr_core.video import read_frames

INPUTS = {
    "clean": Degradation(),
    "h264": Degradation(h264=28),
    "noise": Degradation(noise=5 / 255),
    "jpeg": Degradation(jpeg=60),
    "blur": Degradation(blur=(0.8, 0.8)),
    "mixed": Degradation(blur=(0.6, 0.6), noise=3 / 255, h264=26),
}
"""Damage by name: x264 at crf 28, Gaussian noise of 5/255, and so on. Blur comes before the reduction."""


@dataclass(frozen=True, eq=False)
class Pair:
    """An original and the input made from it."""

    name: str
    truth: Tensor = field(repr=False)
    """(T, H, W, 3) in [0, 1], whole steps of 1/255."""
    small: Tensor = field(repr=False)
    """(T, h, w, 3), the same."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the original."""
        return int(self.truth.shape[1]), int(self.truth.shape[2])


def read_pair(path: Path, scale: int, frames: int, kind: str) -> Pair:
    """The first ``frames`` frames of a clip, and the input of the named kind."""
    return Pair(path.stem, *reduced(first_frames(path, frames), scale, INPUTS[kind]))


def reduced(truth: Tensor, scale: int, degradation: Degradation = Degradation()) -> tuple[Tensor, Tensor]:
    """(truth cropped to a multiple of the scale, its 8-bit bicubic reduction with the damage)."""
    height, width = (side // scale * scale for side in truth.shape[1:3])
    truth = (truth[:, :height, :width] * 255).round() / 255
    return truth, make_input(truth, (height // scale, width // scale), degradation)


def first_frames(path: Path, count: int) -> Tensor:
    """(T, H, W, 3) in [0, 1], at most ``count`` frames: benchmark clips can be too long to hold.

    Raises:
        MediaError: when there is no such file, or no picture in it.
    """
    if count < 1:
        raise MediaError(f"{path.name} is to be read up to frame {count}; give --frames of at least 1.")
    return read_frames(path, count)


def input_clip(path: Path, frames: int, size: tuple[int, int]) -> Tensor:
    """The first frames of a clip as an input of (height, width): cut in the middle to its shape, and resized."""
    clip = first_frames(path, frames)
    height, width = clip.shape[1:3]
    part = min(height / size[0], width / size[1])
    rows, columns = (max(1, round(side * part)) for side in size)
    top, left = (height - rows) // 2, (width - columns) // 2
    return resize(clip[:, top : top + rows, left : left + columns], size).clamp(0, 1)
