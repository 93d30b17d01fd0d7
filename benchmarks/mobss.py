"""A clip of the data set MobSS (Mob-FGSR, CC-BY-NC 4.0: to measure with, not to ship) with its motion and depth.

A folder has ``hr_1080p.mp4``, ``lr_540p.mp4``, and 8-bit PNG files in ``depth`` and ``motion_vector``. The input
is the 960x540 render, averaged to 480x270, so that the truth is 4 times as large.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from patchvsr_core.optical_flow.flow import ClipFlows
from patchvsr_core.realtime.gbuffers import RenderPasses
from patchvsr_core.video.reader import read_frames

DIGIT = 255
"""A number is n/255 + m/255^2 of two channels, the sums of which lie in the blue and red, and alpha and green ones."""


def read_clip(folder: Path, frames: int) -> tuple[Tensor, Tensor, RenderPasses]:
    """((T, 1080, 1920, 3) truth, (T, 270, 480, 3) input, passes: motion and depth)."""
    truth = read_frames(folder / "hr_1080p.mp4", frames)
    small = _halved(read_frames(folder / "lr_540p.mp4", frames).movedim(-1, 1)).movedim(1, -1)
    blue, green, red, alpha = torch.stack([_read(folder / "motion_vector", k) for k in range(frames)]).unbind(-1)
    right, down = (high / DIGIT + low / DIGIT**2 - 0.5 for high, low in ((red, green), (blue, alpha)))
    height, width = small.shape[1:3]
    # As shares of the picture's size, twice over; its signs are found by warping one frame to the next.
    motion = torch.stack([-2 * right * width, 2 * down * height], 1)[1:, :, ::2, ::2]
    depth = torch.stack([_read(folder / "depth", k) for k in range(frames)])[:, ::2, ::2]
    return truth, small, RenderPasses(ClipFlows(torch.zeros_like(motion), motion), depth)


def _read(folder: Path, number: int) -> Tensor:
    picture = cv2.imread(str(folder / f"{number:04d}.png"), cv2.IMREAD_UNCHANGED)
    return torch.from_numpy(picture.astype(np.float32))


def _halved(planes: Tensor) -> Tensor:
    return F.avg_pool2d(planes, 2)
