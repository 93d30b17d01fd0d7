"""The base layer: what enlarges the input before patches refine it, bicubic or a real-time network.

A model that starts from the enlarged input takes the base layer in its place. The shipped model
adds to bicubic what bicubic lacks, and its refiner too: on a sharper picture both would sharpen
twice. There the base layer joins at the end, as a second opinion. Two estimates that err in
different places are better together.
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
"""Of the base layer in the mean with the result of a clean input, at ``detail`` 0."""


def make_base_layer(
    name: str, frames: Tensor, target: tuple[int, int], on_frame: OnDone | None = None
) -> Tensor | None:
    """The clip enlarged to (height, width), or by 4 where that is less; None for bicubic.

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
    """Whether models of this codec take the base layer in the place of the enlarged input."""
    return not codec.is_lossless


def blend_base_layer(frames: Tensor, base: Tensor, *, detail: float = 0.0, degradation: float = 0.0) -> Tensor:
    """The result and the base layer together.

    Args:
        frames: (T, H, W, 3) given away, they are changed.
        base: the same clip, of the same size.
        detail: the crisper the result is to be, the less the base layer counts: nothing at 1.
        degradation: of the input, see :func:`degradation.estimate_degradation`; the refiner removes it, a base layer
            enlarges it and has no weight from 1 on.

    Raises:
        PlanError: when it is another clip.
    """
    if base.shape != frames.shape:
        raise PlanError(
            f"The base layer is {len(base)} frames of {base.shape[2]}x{base.shape[1]}, the result {len(frames)} of "
            f"{frames.shape[2]}x{frames.shape[1]}; enlarge the same clip to the same size."
        )
    weight = BASE_WEIGHT * (1 - detail) * max(0.0, 1 - degradation)
    for frame, other in zip(frames, base, strict=True):
        frame.copy_(torch.lerp(frame, other.to(frame), weight))
    return frames
