"""The base layer: the input upsampled before patches refine it, by bicubic, the restorer, a real-time network or an
image upscaler.

A model that starts from the upsampled input starts from the base layer instead. The shipped model
and its refiner predict what bicubic lacks, so a sharper start would be sharpened twice: beside them a
network's base layer is the whole result with ``patch_detail`` 0, and above it what makes the refined
patches crisper is added to it. In a graph of single nodes, whose patches are denoised in any case,
the mean of both is taken: averaging two estimates with uncorrelated errors lowers the error.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..degradation import CLEAN, MeasuredDegradation
from ..errors import PlanError
from ..plan.chunks import ChunkState
from ..plan.target_size import SCALE
from ..progress import OnDone
from ..realtime.upscaler import load_fast
from ..restorer.restore import Finish
from ..restorer.shipped import restore_as_shipped
from ..settings import BICUBIC, RESTORER, UPSCALER, Settings
from ..vae.codec import Codec

MEAN_WEIGHT = 0.6
"""Weight of the base layer's frames in the mean, for a clean input and ``detail`` 0."""

Restore = Callable[..., Tensor]
"""(frames, size) to restored frames; takes ``detail`` and the choices of :func:`restorer.restore.restore_clip`."""
Upscale = Callable[..., Tensor]
"""(frames, target) to upscaled frames, see :func:`image_upscaler.upscale_images`."""
Fast = Callable[..., Tensor]
"""(name, frames, size) to upscaled frames, see :meth:`realtime.upscaler.FastUpscaler.upscale`."""


def make_base_layer(
    name: str,
    frames: Tensor,
    target: tuple[int, int],
    on_frame: OnDone | None = None,
    *,
    detail: float = Settings.detail,
    degradation: MeasuredDegradation = CLEAN,
    chunk_state: ChunkState | None = None,
    restore: Restore | None = None,
    upscale: Upscale | None = None,
    fast: Fast | None = None,
    finish: Finish | None = None,
) -> Tensor | None:
    """Upscale a clip to (height, width), but by no more than 4; None for bicubic.

    Args:
        name: one of :data:`settings.BASE_LAYERS`.
        frames: (T, h, w, 3) in [0, 1].
        detail: of the restorer, 0 (most probable) to 1 (crispest).
        degradation: of the input; the restorer removes it.
        chunk_state: takes the restorer's state on from the chunk before and to the one after.
        restore: runs the restorer; None: the shipped one where the frames are.
        upscale: runs an image upscaler.
        fast: runs a real-time network; None: the shipped one where the frames are.
        finish: of the restorer alone: what is made of each of its windows, see :func:`restorer.restore.restore_clip`.

    Returns:
        (T, H, W, 3) in [0, 1].

    Raises:
        PlanError: for an image upscaler that is not there.
    """
    if name == BICUBIC:
        return None
    if name == UPSCALER:
        return _given(upscale)(frames, target, on_frames=on_frame)
    size = min(SCALE * frames.shape[1], target[0]), min(SCALE * frames.shape[2], target[1])
    if name == RESTORER:
        run = restore or restore_as_shipped
        return run(
            frames,
            size,
            detail=detail,
            degradation=degradation,
            chunk_state=chunk_state,
            on_frames=on_frame,
            finish=finish,
        )
    return (fast or _run_fast)(name, frames, size, on_frame=on_frame)


def _run_fast(name: str, frames: Tensor, size: tuple[int, int], *, on_frame: OnDone | None = None) -> Tensor:
    return load_fast(name, device=str(frames.device)).upscale(frames, size, on_frame=on_frame)


def _given(upscale: Upscale | None) -> Upscale:
    if upscale is None:
        raise PlanError(
            "The base layer is an image upscaler, and none was given",
            flag="name its file with --base-layer",
            node="connect Load Upscale Model to upscale_model",
        )
    return upscale


def starts_from_base(codec: Codec) -> bool:
    """Whether models of this codec start from the base layer instead of the bicubically upsampled input."""
    return not codec.is_lossless


def base_layer_weight(*, detail: float = Settings.detail, degradation: float = 0.0) -> float:
    """The weight of another network's frames in the mean with the refined ones.

    Args:
        detail: 0 to 1; the weight falls linearly to 0 at 1, where the crispest result is wanted.
        degradation: level of the input, see :func:`degradation.estimate_degradation`. Another network amplifies
            artifacts that the refiner removes, so its weight falls linearly to 0 at level 1.
    """
    return MEAN_WEIGHT * (1 - detail) * max(0.0, 1 - degradation)


def add_detail(base: Tensor, crisp: Tensor, probable: Tensor) -> Tensor:
    """Add to the base layer what makes the refined patches crisper than the most probable ones.

    Args:
        base: (T, H, W, 3); modified in place.
        crisp, probable: the same patches refined with and without ``patch_detail``, of the same shape.

    Returns:
        ``base``; may leave [0, 1].
    """
    for frame, sharp, soft in zip(base, crisp, probable, strict=True):
        frame.add_(sharp.to(frame)).sub_(soft.to(frame))
    return base


def blend_base_layer(frames: Tensor, base: Tensor, weight: float) -> Tensor:
    """Blend the base layer into the result.

    Args:
        frames: (T, H, W, 3) result; modified in place.
        base: the base layer of the same clip, of the same shape.
        weight: 0 to 1, see :func:`base_layer_weight`.

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
    for frame, other in zip(frames, base, strict=True):
        frame.copy_(torch.lerp(frame, other.to(frame), weight))
    return frames
