"""Flow-guided recurrent latent propagation: predictions of neighbouring frames agree along the motion.

Source: Upscale-A-Video (CVPR 2024). Every frame is mixed with its neighbour, fetched along the
optical flow, where the flow and its return agree: first from the last frame to the first, then on
the result from the first to the last. It needs no training and acts on the prediction of x0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import PlanError
from ..kernels import mix_along_flow
from ..optical_flow.flow import resize_flow

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


@dataclass(frozen=True, eq=False)
class PreviousFrame:
    """What came before the first frame of a chunk: the state that is carried from chunk to chunk."""

    latent: Tensor
    """(B, C, H, W) the last propagated frame."""
    forward: Tensor
    """(B, 2, H', W') flow from it to the first frame, and ..."""
    backward: Tensor
    """... back, in pixels of their own size."""


def propagate(
    x: Tensor,
    flow_forward: Tensor,
    flow_backward: Tensor,
    *,
    interpolation: str = "nearest",
    beta: float = 0.5,
    alpha1: float = 0.001,
    alpha2: float = 0.05,
    before: PreviousFrame | None = None,
) -> Tensor:
    """Mix every frame with its neighbours along the motion, backward and then forward in time.

    Args:
        x: (B, C, T, H, W) predicted x0; not changed.
        flow_forward: (B, 2, T - 1, H', W') from frame i to i + 1, in pixels of its own size.
        flow_backward: likewise, from frame i + 1 to i.
        interpolation: how a neighbour is fetched: ``nearest``, ``bilinear`` or ``bicubic``.
        beta: part of the neighbour in the mix, 0 (nothing changes) to 1 (copy).
        alpha1, alpha2: a flow counts where |f + b|^2 < alpha1 (|f|^2 + |b|^2) + alpha2, in cells of ``x``.
        before: the frame before the first one, if the clip continues an earlier chunk.

    Returns:
        (B, C, T, H, W) in the type of ``x``.

    Raises:
        PlanError: for flows of another number of frames, or an unknown interpolation.
    """
    if interpolation not in INTERPOLATIONS:
        raise PlanError(f"Interpolation {interpolation!r} is unknown; choose one of {', '.join(INTERPOLATIONS)}.")
    for flow in (flow_forward, flow_backward):
        if flow.shape[2] != x.shape[2] - 1:
            raise PlanError(
                f"{x.shape[2]} frames need {x.shape[2] - 1} flows, not {flow.shape[2]}; estimate them from the same "
                "clip that is upscaled."
            )
    to_next, to_previous = flow_forward.unbind(2), flow_backward.unbind(2)
    mix = _Mix(interpolation, beta, alpha1, alpha2)
    frames = list(x.float().unbind(2))
    for i in reversed(range(len(frames) - 1)):
        frames[i] = mix(frames[i], frames[i + 1], to_next[i], to_previous[i])
    if before is not None:
        frames[0] = mix(frames[0], before.latent.to(frames[0]), before.backward, before.forward)
    for i in range(1, len(frames)):
        frames[i] = mix(frames[i], frames[i - 1], to_previous[i - 1], to_next[i - 1])
    return torch.stack(frames, dim=2).to(x.dtype)


@dataclass(frozen=True)
class _Mix:
    interpolation: str
    beta: float
    alpha1: float
    alpha2: float

    def __call__(self, frame: Tensor, neighbour: Tensor, there: Tensor, back: Tensor) -> Tensor:
        """``frame`` mixed with ``neighbour``; ``there`` leads from the one to the other and ``back`` returns."""
        size = (frame.shape[2], frame.shape[3])
        there, back = (resize_flow(flow.to(frame.device, torch.float32), size) for flow in (there, back))
        return mix_along_flow(
            frame,
            neighbour,
            there,
            back,
            interpolation=self.interpolation,
            weight=self.beta,
            alpha1=self.alpha1,
            alpha2=self.alpha2,
        )


def preserve_noise(x0: Tensor, corrected: Tensor, sigma: float, following: float, noise_kept: float = 1.0) -> Tensor:
    """The answer after which an Euler step keeps its noise although x0 was corrected.

    A step takes x' = x0 + (sigma' / sigma) (x - x0), so an answer that is merely replaced changes
    the noise as well. x0 + k (x0' - x0) with k = (1 - sigma') sigma / (sigma - sigma') moves the
    next state by (1 - sigma') (x0' - x0) and nothing else.

    Args:
        x0: the prediction at noise level ``sigma``; corrected: what it should have been.
        following: noise level of the next state.
        noise_kept: part of the noise that the step takes over, below 1 where ``eta`` replaces some.
    """
    moved = 1 - following
    return torch.lerp(x0, corrected, moved / (moved - noise_kept * following / sigma * (1 - sigma)))


def is_active(sigma: float, following: float, start: float, end: float) -> bool:
    """Whether the step from ``sigma`` down to ``following`` passes through noise levels between start and end."""
    return following < start and sigma > end
