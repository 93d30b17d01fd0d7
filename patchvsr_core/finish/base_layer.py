"""The base layer: the input upsampled by bicubic or a real-time network, before patches refine it.

A model that starts from the upsampled input starts from the base layer instead. The shipped model
and its refiner predict what bicubic lacks, so a sharper start would be sharpened twice; with them
the base layer is blended in at the end. Averaging two estimates with uncorrelated errors lowers the
error.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import PlanError
from ..progress import OnDone
from ..realtime.rdg import SCALE
from ..realtime.upscaler import load_fast
from ..settings import BICUBIC
from ..vae.codec import Codec

BASE_WEIGHT = 0.6
"""Weight of the base layer in the blend, for a clean input and ``detail`` 0."""


def make_base_layer(
    name: str, frames: Tensor, target: tuple[int, int], on_frame: OnDone | None = None
) -> Tensor | None:
    """Upscale a clip to (height, width), but by no more than 4; None for bicubic.

    Args:
        name: one of :data:`settings.BASE_LAYERS`.
        frames: (T, h, w, 3) in [0, 1].

    Returns:
        (T, H, W, 3) in [0, 1].
    """
    if name == BICUBIC:
        return None
    size = min(SCALE * frames.shape[1], target[0]), min(SCALE * frames.shape[2], target[1])
    return load_fast(name, device=str(frames.device)).upscale(frames, size, on_frame=on_frame)


def starts_from_base(codec: Codec) -> bool:
    """Whether models of this codec start from the base layer instead of the bicubically upsampled input."""
    return not codec.is_lossless


def blend_base_layer(frames: Tensor, base: Tensor, *, detail: float = 0.0, degradation: float = 0.0) -> Tensor:
    """Blend the base layer into the result.

    Args:
        frames: (T, H, W, 3) result; modified in place.
        base: the base layer of the same clip, of the same shape.
        detail: 0 to 1; the weight of the base layer falls linearly to 0 at 1, where the crispest result is wanted.
        degradation: level of the input, see :func:`degradation.estimate_degradation`. A base layer amplifies
            artifacts that the refiner removes, so its weight falls linearly to 0 at level 1.

    Returns:
        ``frames``.

    Raises:
        PlanError: when the shapes differ.
    """
    if base.shape != frames.shape:
        raise PlanError(
            f"The base layer has {len(base)} frames of {base.shape[2]}x{base.shape[1]}, the result {len(frames)} of "
            f"{frames.shape[2]}x{frames.shape[1]}; upscale the same clip to the same size."
        )
    weight = BASE_WEIGHT * (1 - detail) * max(0.0, 1 - degradation)
    for frame, other in zip(frames, base, strict=True):
        frame.copy_(torch.lerp(frame, other.to(frame), weight))
    return frames
