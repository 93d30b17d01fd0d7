"""A frame mixed with its neighbour along the motion: warp, consistency and mixture in one pass over memory.

Source: the latent propagation of Upscale-A-Video (CVPR 2024), see :mod:`propagation.latent`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .launch import MODES, WARP, launch_mix
from .loading import NAMESPACE, CannotLaunch, dispatched, for_gradients, tell
from .references import mix_reference

MIX = "mixing along the motion"
"""What log lines call the operation."""


def mix_along_flow(
    frame: Tensor,
    neighbour: Tensor,
    there: Tensor,
    back: Tensor,
    *,
    interpolation: str = "nearest",
    weight: float = 0.5,
    alpha1: float = 0.001,
    alpha2: float = 0.05,
) -> Tensor:
    """lerp(frame, neighbour fetched along ``there``, weight where ``there`` and ``back`` agree, 0 elsewhere).

    Args:
        frame, neighbour: (B, C, H, W), of any strides; zero lies outside.
        there: (B, 2, H, W) float32 flow from the one to the other, in cells; (dx, dy).
        back: likewise, its return.
        interpolation: ``nearest``, ``bilinear`` or ``bicubic``.
        alpha1, alpha2: flows agree where |f + b|^2 < alpha1 (|f|^2 + |b|^2) + alpha2.

    Returns:
        (B, C, H, W) in the type of ``frame``.

    Raises:
        ValueError: for sizes that do not match.
    """
    settings = interpolation, weight, alpha1, alpha2
    given = frame, neighbour, there, back
    direct = for_gradients(MIX, *given) or not dispatched(MIX, frame)
    return (mix_elsewhere if direct else _mix)(*given, *settings)


def mix_elsewhere(
    frame: Tensor,
    neighbour: Tensor,
    there: Tensor,
    back: Tensor,
    interpolation: str,
    weight: float,
    alpha1: float,
    alpha2: float,
) -> Tensor:
    """The operation where it has no kernel."""
    _check(frame, neighbour, there, back, interpolation)
    mixed = mix_reference(frame, neighbour, there, back, interpolation, weight, alpha1, alpha2)
    return mixed.contiguous()


_mix = torch.library.custom_op(f"{NAMESPACE}::mix_along_flow", mix_elsewhere, mutates_args=())


@_mix.register_fake
def _(frame, neighbour, there, back, interpolation, weight, alpha1, alpha2):  # type: ignore[no-untyped-def]
    return torch.empty_like(frame, memory_format=torch.contiguous_format)


@_mix.register_kernel("cuda")
def mix_on_gpu(
    frame: Tensor,
    neighbour: Tensor,
    there: Tensor,
    back: Tensor,
    interpolation: str,
    weight: float,
    alpha1: float,
    alpha2: float,
) -> Tensor:
    """The operation by its kernel, or by the reference where that cannot be."""
    _check(frame, neighbour, there, back, interpolation)
    settings = interpolation, weight, alpha1, alpha2
    try:
        return launch_mix(WARP.launcher(frame.device), frame, neighbour, there, back, *settings)
    except CannotLaunch as reason:
        tell(MIX, str(reason))
        return mix_reference(frame, neighbour, there, back, *settings).contiguous()


def _check(frame: Tensor, neighbour: Tensor, there: Tensor, back: Tensor, interpolation: str) -> None:
    flow = (frame.shape[0], 2, *frame.shape[2:])
    if frame.ndim != 4 or neighbour.shape != frame.shape or there.shape != flow or back.shape != flow:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (frame, neighbour, there, back))
        raise ValueError(f"Frames (B, C, H, W) and flows (B, 2, H, W) do not match: {shapes}.")
    if len({frame.device, neighbour.device, there.device, back.device}) > 1 or frame.dtype != neighbour.dtype:
        raise ValueError("Frames and flows must be on one device, and frames of one type.")
    if interpolation not in MODES:
        raise ValueError(f"Interpolation {interpolation!r} is unknown; choose one of {', '.join(MODES)}.")
