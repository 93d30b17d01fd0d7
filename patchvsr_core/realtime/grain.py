"""Tells the grain of surfaces from noise in the light of a render, and brings grain back that RDG took for noise.

Both look alike in one frame. Along the exact motion of a renderer grain stays, and noise is drawn anew: where a frame
and the one before it agree there, the light has no noise, and what the result lacks of the input is grain.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..optical_flow.flow import warp
from ..plan.target_size import SCALE
from ..resample import resize

CLEAN, NOISY = 0.03, 0.06
"""Noise of the light (relative deviation) up to which all grain comes back, and from which none does."""
STRENGTH = 0.5
"""Of one step of back-projection: a rendered input is no exact reduction of the result, so that more does harm."""
SMOOTHING = 0.8
"""Part of the noise of the frames before in that of a frame, so that grain does not flicker."""
DEVIATION = 0.6745
"""Median of the absolute value of a standard normal variable."""
LEAST_LIGHT = 0.05
"""Darker pixels count as this bright."""


def measure_light_noise(image: Tensor, before: Tensor, motion: Tensor, smoothed: Tensor | None = None) -> Tensor:
    """Relative deviation of the light of a pixel: from the median of what changes along the motion.

    Args:
        image, before: (1, h, w, 3) a frame and the one before it, in [0, 1].
        motion: (1, 2, h, w) pixels, from the frame to the one before.
        smoothed: result for the frame before, which is averaged with this one's.

    Returns:
        a scalar.
    """
    here, fetched = image.mean(-1)[:, None], warp(before.mean(-1)[:, None], motion)
    change = (here - fetched).abs() / ((here + fetched) / 2).clamp(min=LEAST_LIGHT)
    noise = change.median() / (DEVIATION * 2**0.5)
    return noise if smoothed is None else noise.lerp(smoothed.to(noise), SMOOTHING)


def restore_grain(upsampled: Tensor, image: Tensor, noise: Tensor) -> Tensor:
    """Add what the result, averaged to the size of the input, lacks of it; the less, the more noise there is.

    Args:
        upsampled: (1, 3, 4 h, 4 w).
        image: (1, h, w, 3) the input.
        noise: of :func:`measure_light_noise`.

    Returns:
        like ``upsampled``.
    """
    share = STRENGTH * ((NOISY - noise) / (NOISY - CLEAN)).clamp(0, 1)
    averaged = F.avg_pool2d(upsampled.clamp(0, 1), SCALE).movedim(1, -1)
    lacking = resize(image - averaged, (upsampled.shape[2], upsampled.shape[3]))
    return upsampled + share * lacking.movedim(-1, 1)
