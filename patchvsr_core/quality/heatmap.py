"""Heat maps: a colour map over the dimmed frame shows where an artifact is.

The colour map goes from deep violet over red and orange to white, perceptually uniform in lightness
(Oklab, Ottosson 2020), and is always brighter than the dimmed frame.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..srgb import to_display
from .frame_pairs import luma

CELL_PX = 4
"""Side of a cell of a map, which keeps maps much smaller than frames."""
BACKGROUND_GAIN = 0.27
LIGHTNESS = 0.42, 0.97
HUE_DEGREES = 300.0, 465.0
CHROMA = 0.2
VISIBLE_FROM, OPAQUE_FROM = 0.06, 0.4
"""Fractions of full scale from which the colour is visible, and from which it is opaque."""
STEPS = 256
OKLAB_TO_CONES = (
    (1.0, 0.3963377774, 0.2158037573),
    (1.0, -0.1055613458, -0.0638541728),
    (1.0, -0.0894841775, -1.291485548),
)
CONES_TO_RGB = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)


def pool_cells(values: Tensor) -> Tensor:
    """Average (1, 1, H, W) pixels over each cell: (1, 1, rows, columns)."""
    return F.avg_pool2d(values, CELL_PX, ceil_mode=True)


def overlay_heatmap(frame: Tensor, heatmap: Tensor) -> Tensor:
    """Draw a heat map over its frame, which is dimmed and grey.

    Args:
        frame: (1, H, W, 3) in [0, 1].
        heatmap: (1, 1, rows, columns), in [0, 1]; larger values are clipped.

    Returns:
        (1, H, W, 3) in [0, 1].
    """
    height, width = frame.shape[1:3]
    size = heatmap.shape[2] * CELL_PX, heatmap.shape[3] * CELL_PX
    level = F.interpolate(heatmap.float(), size=size, mode="bilinear")[0, 0, :height, :width].clamp(0, 1)
    colours = make_colormap().to(frame.device)[(level * (STEPS - 1)).round().long()]
    share = ((level - VISIBLE_FROM) / (OPAQUE_FROM - VISIBLE_FROM)).clamp(0, 1)[..., None]
    return (BACKGROUND_GAIN * luma(frame).clamp(0, 1)[:, 0, ..., None]).lerp(colours[None], share[None])


@lru_cache(maxsize=1)
def make_colormap() -> Tensor:
    """(256, 3) sRGB colour map with monotonically increasing lightness."""
    position = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    low, high = LIGHTNESS
    first, last = HUE_DEGREES
    hue = torch.deg2rad(first + (last - first) * position)
    chroma = CHROMA * (1 - position**3)
    oklab = torch.stack([low + (high - low) * position, chroma * hue.cos(), chroma * hue.sin()], -1)
    cones = oklab @ torch.tensor(OKLAB_TO_CONES, dtype=torch.float64).T
    linear = (cones**3 @ torch.tensor(CONES_TO_RGB, dtype=torch.float64).T).clamp(0, 1)
    return to_display(linear).float()
