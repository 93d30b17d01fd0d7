"""Torch's bicubic upsampling by 4 (Keys' cubic with a = -3/4) as a convolution: a pixel becomes 16 channels.

The real-time network and the restorer add what they make to it; all other resampling is that of :mod:`.bicubic`.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..plan.target_size import SCALE

REACH_PX = 2
"""How far bicubic interpolation by 4 looks from a pixel of the input."""


@lru_cache(maxsize=1)
def bicubic_taps() -> Tensor:
    """(16, 1, 5, 5) float64: the weights of the pixels around one for each of the 16 that it becomes."""
    side = 2 * REACH_PX + 1
    with torch.inference_mode(False):
        impulses = torch.eye(side**2, dtype=torch.float64, device="cpu").view(side**2, 1, side, side)
        large = F.interpolate(impulses, scale_factor=SCALE, mode="bicubic", align_corners=False)
        centre = slice(REACH_PX * SCALE, (REACH_PX + 1) * SCALE)
        return large[:, 0, centre, centre].reshape(side**2, SCALE**2).T.reshape(-1, 1, side, side)
