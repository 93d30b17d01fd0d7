"""Pictures that explain: a plan drawn over a frame."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from .layout import PatchPlan

COLORS = {"primary": (1.0, 1.0, 1.0), "auxiliary": (0.25, 0.8, 1.0), "corner": (1.0, 0.65, 0.2)}
LONGEST_SIDE = 1024


def draw_plan(plan: PatchPlan, frame: Tensor) -> Tensor:
    """Draw the patches of one window of time: (1, H, W, 3) in [0, 1].

    Primary patches white, auxiliary ones blue, corner ones orange; each a little inside its
    real outline, so that neighbours do not cover one another.

    Args:
        frame: (h, w, 3 or more) frame of the input.
    """
    height, width = plan.canvas.target
    shrink = min(1.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    pixels = np.ascontiguousarray(frame[..., :3].float().cpu().numpy())
    picture = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrink < 1 else cv2.INTER_CUBIC)
    picture = np.clip(picture, 0, 1) * 0.6
    unit = plan.canvas.stride_px * shrink
    for patch in plan.patches:
        if patch.origin[0]:
            continue
        inset = {"primary": 1, "auxiliary": 4, "corner": 7}[patch.kind]
        (y, x), (h, w) = patch.origin[1:], patch.size[1:]
        first = round(x * unit) + inset, round(y * unit) + inset
        last = min(round((x + w) * unit), size[0]) - inset, min(round((y + h) * unit), size[1]) - inset
        cv2.rectangle(picture, first, last, COLORS[patch.kind], 2, cv2.LINE_AA)
    return torch.from_numpy(picture)[None]
