"""Pictures that explain: a plan drawn over a frame, motion in colours."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from .layout import PatchPlan

COLORS = {"primary": (1.0, 1.0, 1.0), "auxiliary": (0.25, 0.8, 1.0), "corner": (1.0, 0.65, 0.2)}
LONGEST_SIDE = 1024
WHEEL = {
    0: (1.0, 0.0, 0.0),
    15: (1.0, 1.0, 0.0),
    21: (0.0, 1.0, 0.0),
    25: (0.0, 1.0, 1.0),
    36: (0.0, 0.0, 1.0),
    49: (1.0, 0.0, 1.0),
    55: (1.0, 0.0, 0.0),
}
"""Hues around the circle, spread so that steps look equal (Baker et al. 2011, the Middlebury flow colours)."""
SHARE_BELOW_FULL = 0.99
"""Of all motion is drawn paler than the strongest colour; single wrong vectors would make the rest too pale."""
LEAST_FULL_PX = 1.0
"""Motion that a still picture seems to have is not drawn strongly."""


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


def draw_flow(flow: Tensor) -> Tensor:
    """Motion in colours: (B, H, W, 3) in [0, 1].

    The hue says where to (right red, down yellow, left cyan, up violet), the saturation how far,
    on one scale for all; no motion is white, motion that leads further than the frame is long is black.

    Args:
        flow: (B, 2, H, W) in pixels.
    """
    length = flow.float().square().sum(1).sqrt()
    shown = length <= float(np.hypot(*flow.shape[-2:]))
    lengths = length[shown].flatten().cpu().numpy()
    full = max(LEAST_FULL_PX, float(np.quantile(lengths, SHARE_BELOW_FULL)) if len(lengths) else 0.0)
    turn = torch.atan2(flow[:, 1], flow[:, 0]).float().cpu().numpy() / (2 * np.pi) % 1 * max(WHEEL)
    channels = [np.interp(turn, list(WHEEL), values) for values in zip(*WHEEL.values(), strict=True)]
    hue = torch.from_numpy(np.stack(channels, -1).astype(np.float32)).to(flow.device)
    saturation = (length / full).clamp(max=1)[..., None]
    return (1 - saturation * (1 - hue)) * shown[..., None]
