"""Flow-guided propagation on the canvas of a clip, and its state from chunk to chunk.

:func:`latent.propagate` works wherever neighbouring cells are neighbouring samples. A latent of
Wan's VAE is such a grid; a cell of the lossless codec is a block of pixels, and is opened first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import PlanError
from ..layout import Canvas
from .estimators import Estimator, dis
from .flow import ClipFlows, clip_flows, warp
from .latent import Before, acts, propagate, unchanged_noise


@dataclass(frozen=True)
class PropagationOptions:
    """Choices of flow-guided propagation."""

    weight: float = 0.5
    """Part of the neighbour in the mix, 0 (off) to 1 (copy)."""
    start: float = 1.0
    """Noise level from which on it acts, and ..."""
    end: float = 0.0
    """... down to which; a step counts that passes through levels between them."""
    interpolation: str | None = None
    """None: ``nearest`` on latents, as Upscale-A-Video has it, and ``bicubic`` on pixels."""
    alpha1: float = 0.001
    alpha2: float = 0.05
    """Tolerance of a flow that does not come back, see :func:`flow.consistency`."""


@dataclass(frozen=True, eq=False)
class Carried:
    """What a chunk leaves to the next one."""

    source: Tensor
    """(h, w, 3) the input frame before the next chunk."""
    frames: dict[int, Tensor] = field(default_factory=dict)
    """By step: (1, C, H, W) the propagated prediction of that frame."""


@dataclass(eq=False)
class Relay:
    """Takes the state of propagation from one chunk of a shot to the next."""

    before: Carried | None = None
    """What the chunk before left."""
    until: int | None = None
    """How many video frames of this chunk lie before the next one; None: no other follows."""
    after: Carried | None = None
    """What this chunk leaves."""


class CanvasPropagation:
    """Makes the predictions of one clip agree along its motion.

    Args:
        pixels: a cell of the canvas is a block of pixels (the lossless codec), not a latent.
        flows: between neighbouring frames of the input, at any size.
        source: (T, h, w, 3) the input clip; only a relay needs it.
        relay: state of the chunk before and for the chunk after.

    Raises:
        PlanError: when the flows belong to a clip of another length.
    """

    def __init__(
        self,
        options: PropagationOptions,
        canvas: Canvas,
        flows: ClipFlows,
        *,
        pixels: bool,
        source: Tensor | None = None,
        relay: Relay | None = None,
        estimator: Estimator | None = None,
    ) -> None:
        if flows.frames != canvas.frames:
            raise PlanError(
                f"The motion is that of {flows.frames} frames, but {canvas.frames} are upscaled; measure it on the "
                "clip that the Patch Planner was given."
            )
        self.options, self.canvas = options, canvas
        self.opened = canvas.stride_px if pixels else 1
        self.interpolation = options.interpolation or ("nearest" if self.opened == 1 else "bicubic")
        held = [self._on_grid(motion) for motion in between_latents(flows, canvas)]
        self.forward, self.backward = (motion.movedim(0, 1)[None] for motion in held)
        self.relay = relay or Relay()
        self._entrance: tuple[Tensor, Tensor] | None = None
        if self.relay.before is not None and source is not None:
            pair = torch.stack([self.relay.before.source.to(source), source[0]])
            entrance = clip_flows(pair.movedim(-1, 1), estimator)
            self._entrance = self._on_grid(entrance.to_next), self._on_grid(entrance.to_previous)
        if self.relay.until is not None and source is not None:
            self.last = (self.relay.until - 1) // canvas.stride_frames
            self.relay.after = Carried(source[self.last * canvas.stride_frames].clone())

    def __call__(self, x0: Tensor, sigma: float, following: float, step: int) -> Tensor:
        """The answer to give in place of a fused prediction (1, C, t, h, w).

        Args:
            sigma, following: noise levels of the state and of the one after it.
            step: of the schedule.
        """
        options = self.options
        if options.weight == 0 or not acts(sigma, following, options.start, options.end):
            return x0
        motion = (flow.to(x0.device) for flow in (self.forward, self.backward))
        corrected = propagate(
            self._open(x0),
            *motion,
            interpolation=self.interpolation,
            beta=options.weight,
            alpha1=options.alpha1,
            alpha2=options.alpha2,
            before=self._before(step, x0.device),
        )
        if self.relay.after is not None:
            self.relay.after.frames[step] = corrected[:, :, self.last].cpu().clone()
        return unchanged_noise(x0, self._close(corrected), sigma, following)

    def _before(self, step: int, device: torch.device) -> Before | None:
        carried = self.relay.before
        if carried is None or self._entrance is None or step not in carried.frames:
            return None
        return Before(*(tensor.to(device) for tensor in (carried.frames[step], *self._entrance)))

    def _open(self, x0: Tensor) -> Tensor:
        """To neighbouring samples; (1, C / n^2, t, n h, n w)."""
        return F.pixel_shuffle(x0.movedim(1, 2), self.opened).movedim(2, 1)

    def _close(self, samples: Tensor) -> Tensor:
        return F.pixel_unshuffle(samples.movedim(1, 2), self.opened).movedim(2, 1)

    def _on_grid(self, flow: Tensor) -> Tensor:
        """(N, 2, h, w) of the input to (N, 2, H, W) in samples of the opened canvas; the padding moves as its edge."""
        sample_px = self.canvas.stride_px // self.opened
        visible = [-(-side // sample_px) for side in self.canvas.target]
        whole = [side * self.opened for side in self.canvas.latent_size]
        height, width = flow.shape[-2:]
        if len(flow) == 0:
            return flow.new_zeros(0, 2, *whole)
        smaller = visible[0] <= height and visible[1] <= width
        resized = F.interpolate(flow.float(), size=visible, mode="area" if smaller else "bilinear")
        unit = torch.tensor([self.canvas.target[1] / width, self.canvas.target[0] / height], device=flow.device)
        padding = (0, whole[1] - visible[1], 0, whole[0] - visible[0])
        return F.pad(resized * (unit / sample_px)[:, None, None], padding, mode="replicate")


def between_latents(flows: ClipFlows, canvas: Canvas) -> tuple[Tensor, Tensor]:
    """Motion between the video frames that stand for neighbouring latent frames.

    Where several video frames make one latent frame, its flows follow one another; frames that a
    clip was padded with stand still.

    Returns:
        two (t - 1, 2, h, w): forward and backward.
    """
    stride, pairs = canvas.stride_frames, canvas.latent_frames - 1
    if stride == 1:
        return flows.to_next, flows.to_previous
    forward, backward = [], []
    for first in range(0, pairs * stride, stride):
        steps = range(first, min(first + stride, len(flows)))
        forward.append(chained([flows.to_next[i] for i in steps]))
        backward.append(chained([flows.to_previous[i] for i in reversed(steps)]))
    if not forward:
        return flows.to_next, flows.to_previous
    return torch.stack(forward), torch.stack(backward)


def chained(flows: list[Tensor]) -> Tensor:
    """(2, H, W) flows, one after the other, as one: f(p) + g(p + f(p)) + ..."""
    total = flows[0]
    for flow in flows[1:]:
        total = total + warp(flow[None], total[None])[0]
    return total


def measured(
    options: PropagationOptions,
    canvas: Canvas,
    source: Tensor,
    *,
    pixels: bool,
    relay: Relay | None = None,
    estimator: Estimator | None = None,
) -> CanvasPropagation:
    """Propagation with the motion of the input (T, h, w, 3) itself; dense inverse search unless told otherwise."""
    estimator = estimator or dis()
    flows = clip_flows(source.movedim(-1, 1), estimator)
    return CanvasPropagation(options, canvas, flows, pixels=pixels, source=source, relay=relay, estimator=estimator)
