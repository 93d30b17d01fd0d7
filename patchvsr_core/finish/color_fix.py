"""Colour fixes: transfer the colours of the input to the result, using statistics of whole frames.

Never per tile: with per-tile statistics the colours of neighbouring tiles drift apart.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import PatchVSRError
from ..progress import OnDone
from ..resample import frames_per_batch, resize
from .cielab import from_lab, to_lab

WAVELET_LEVELS = 5
LIGHTNESS = 0.2
"""Part of the input's lightness that ``lab`` takes over; more would undo the contrast of new detail."""


def wavelet(content: Tensor, style: Tensor) -> Tensor:
    """Add the high frequencies of ``content`` to the low frequencies of ``style``.

    Five a-trous wavelet levels with the kernel [1, 2, 1] x [1, 2, 1] / 16. The blur is linear, so
    blurring the difference once is enough. Shapes (T, C, H, W). Source: Upscale-A-Video, StableSR.
    """
    return content + _low_pass(style - content)


def adain(content: Tensor, style: Tensor) -> Tensor:
    """Give every frame and channel of ``content`` the mean and standard deviation of ``style``; both (T, C, H, W)."""
    content_mean, content_std = _statistics(content)
    style_mean, style_std = _statistics(style)
    return (content - content_mean) / content_std * style_std + style_mean


def lab(content: Tensor, style: Tensor) -> Tensor:
    """:func:`wavelet`, then the distribution of colours of ``style``, and a fifth of that of lightness.

    Every frame's a and b of CIELAB are moved to the values that ``style`` has at the same rank. It follows colours
    further than the other fixes do. Shapes (T, C, H, W). Source: SeedVR2's default in ComfyUI.
    """
    content, style = (to_lab(planes.clamp(0, 1)) for planes in (wavelet(content, style), style))
    matched = _match_ranks(content, style)
    lightness = (1 - LIGHTNESS) * content[:, :1] + LIGHTNESS * matched[:, :1]
    return from_lab(torch.cat([lightness, matched[:, 1:]], 1))


FIXES: dict[str, Callable[[Tensor, Tensor], Tensor] | None] = {
    "wavelet": wavelet,
    "adain": adain,
    "none": None,
    "lab": lab,
}


def match_colors(frames: Tensor, source: Tensor, method: str = "wavelet", *, on_frames: OnDone | None = None) -> Tensor:
    """Match the colours of (T, H, W, 3) ``frames`` to the (T, h, w, 3) input.

    Args:
        method: ``wavelet``, ``adain``, ``lab`` or ``none``.
    """
    if method not in FIXES:
        raise PatchVSRError(f"Unknown colour fix {method!r}; choose one of {', '.join(FIXES)}.")
    fix = FIXES[method]
    if fix is None:
        return frames
    out = torch.empty_like(frames)
    size = (int(frames.shape[1]), int(frames.shape[2]))
    together = frames_per_batch(size)
    for start in range(0, len(frames), together):
        chunk = slice(start, start + together)
        style = resize(source[chunk].to(frames), size)
        out[chunk] = fix(frames[chunk].movedim(-1, 1), style.movedim(-1, 1)).movedim(1, -1)
        if on_frames:
            on_frames(min(start + together, len(frames)), len(frames))
    return out


def _statistics(planes: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(planes, dim=(2, 3), correction=0, keepdim=True)
    return mean, (variance + 1e-5).sqrt()


def _match_ranks(planes: Tensor, style: Tensor) -> Tensor:
    """Every channel of every frame with the values of ``style``, in the order of its own."""
    ranks = planes.flatten(2).argsort(2)
    values = style.flatten(2).sort(2).values
    return torch.empty_like(values).scatter_(2, ranks, values).reshape(planes.shape)


def _low_pass(planes: Tensor) -> Tensor:
    kernel = torch.tensor([0.25, 0.5, 0.25], device=planes.device, dtype=planes.dtype)
    channels = planes.shape[1]
    for level in range(WAVELET_LEVELS):
        reach = 2**level
        for shape, pad in (((1, 3), (reach, reach, 0, 0)), ((3, 1), (0, 0, reach, reach))):
            weight = kernel.view(1, 1, *shape).expand(channels, 1, *shape)
            padded = F.pad(planes, pad, mode="replicate")
            planes = F.conv2d(padded, weight, groups=channels, dilation=reach)
    return planes
