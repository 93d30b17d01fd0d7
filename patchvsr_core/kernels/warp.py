"""A frame mixed with its neighbour along the motion: warp, consistency and mixture in one pass over memory.

Source: the latent propagation of Upscale-A-Video (CVPR 2024), see :mod:`propagation.latent`.
"""

from __future__ import annotations

from torch import Tensor

from .ops import MIX_ALONG_FLOW


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
    mixed: Tensor = MIX_ALONG_FLOW(frame, neighbour, there, back, interpolation, weight, alpha1, alpha2)
    return mixed
