"""Latents in the layouts of ComfyUI's models.

Video models take (1, C, T, H, W). Image models take (T, C, H, W): the frames of a clip are a batch of images.
Everything else here works on the canvas, (1, C, T, H, W); these functions lead from one to the other.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...errors import PlanError


def is_image_model(base: Any) -> bool:
    """Whether a model (the ``model`` of a MODEL) takes frames as a batch of images."""
    return base.latent_format.latent_dimensions == 2


def as_canvas(x: Tensor) -> Tensor:
    """(T, C, H, W) or (1, C, T, H, W) to (1, C, T, H, W); a view.

    Raises:
        PlanError: for a latent of no picture, and for several packed into one.
    """
    if x.ndim == 5:
        return x
    if x.ndim == 4:
        return x.movedim(0, 1)[None]
    raise PlanError(
        "The latent holds no frames of its own (video packed with sound, or sound alone), and cannot be cut into "
        "patches; connect a latent of frames."
    )


def as_batch(patches: Tensor, *, images: bool) -> Tensor:
    """(N, C, t, h, w) to what a model takes: the same, or (N * t, C, h, w)."""
    return patches.movedim(2, 1).flatten(0, 1) if images else patches


def from_batch(out: Tensor, frames: int, *, images: bool) -> Tensor:
    """What a model gives for :func:`as_batch` to (N, C, t, h, w).

    Args:
        frames: of a patch.
    """
    return out.unflatten(0, (-1, frames)).movedim(1, 2) if images else out


def latent_in(base: Any, latent: Tensor) -> Tensor:
    """(1, C, t, h, w) in ComfyUI's convention to the scale that a model works at."""
    images = is_image_model(base)
    return from_batch(base.process_latent_in(as_batch(latent, images=images)), latent.shape[2], images=images)


def latent_out(base: Any, latent: Tensor) -> Tensor:
    """The inverse of :func:`latent_in`."""
    images = is_image_model(base)
    return from_batch(base.process_latent_out(as_batch(latent, images=images)), latent.shape[2], images=images)
