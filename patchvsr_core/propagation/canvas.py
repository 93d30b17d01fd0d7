"""Flow-guided propagation on the canvas of a clip, and its state from chunk to chunk.

:func:`latent.propagate` works wherever neighbouring cells are neighbouring samples. A latent of
Wan's VAE is such a grid; a cell of the lossless codec is a block of pixels, and is opened first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import PlanError
from ..optical_flow.estimators import Estimator
from ..optical_flow.flow import ClipFlows, estimate_clip_flows, warp
from ..plan.canvas import Canvas
from ..plan.chunks import ChunkState
from ..resample import resize
from .latent import PreviousFrame, is_active, preserve_noise, propagate

MEASURED_PX = 1280
"""Longest side at which motion between pixels is measured, unless the input is larger."""
SOURCE = "source"
"""In a chunk state: (h, w, 3) the input frame before the next chunk."""
STEP = "step {}"
"""In a chunk state, by step: (1, C, H, W) the propagated prediction of that frame."""


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
    """Tolerance of a flow that does not come back, see :func:`optical_flow.flow.consistency`."""


class CanvasPropagation:
    """Makes the predictions of one clip agree along its motion.

    Args:
        pixels: a cell of the canvas is a block of pixels (the lossless codec), not a latent.
        flows: between neighbouring frames of the input, at any size.
        source: (T, h, w, 3) the input clip; only a chunk state needs it.
        chunk_state: state of the chunk before and for the chunk after.

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
        chunk_state: ChunkState | None = None,
        estimator: Estimator | None = None,
    ) -> None:
        if flows.frames != canvas.frames:
            raise PlanError(
                f"The motion is that of {flows.frames} frames, but {canvas.frames} are upscaled; measure it on the "
                "clip that the Patch Planner was given."
            )
        self.options, self.canvas = options, canvas
        self.block = canvas.stride_px if pixels else 1
        sample_px = canvas.stride_px // self.block
        self.visible = tuple(-(-side // sample_px) for side in canvas.target)
        self.interpolation = options.interpolation or ("bicubic" if pixels else "nearest")
        self.forward, self.backward = (motion.movedim(0, 1)[None] for motion in flows_between_latents(flows, canvas))
        self.chunk_state = chunk_state or ChunkState()
        self.last: int | None = None
        self._entry_flows: ClipFlows | None = None
        earlier = (self.chunk_state.before or {}).get(SOURCE)
        if earlier is not None and source is not None:
            pair = torch.stack([earlier.to(source), source[0]])
            self._entry_flows = estimate_clip_flows(_upsample(pair, flows.size).movedim(-1, 1), estimator)
        if self.chunk_state.until is not None and source is not None:
            self.last = (self.chunk_state.until - 1) // canvas.stride_frames
            self.chunk_state.leave({SOURCE: source[self.last * canvas.stride_frames].clone()})

    def __call__(
        self, x0: Tensor, sigma: float, following: float, step: int, *, noise_kept: float | None = 1.0
    ) -> Tensor:
        """What replaces a fused prediction (1, C, t, h, w).

        Args:
            sigma, following: noise levels of the state and of the one after it.
            step: of the schedule.
            noise_kept: see :func:`latent.preserve_noise`; None for a solver that takes other steps than Euler's, to
                which the propagated prediction itself is given.
        """
        options = self.options
        if tuple(x0.shape[2:]) != self.canvas.latent_shape:
            raise PlanError(
                f"The latent is {tuple(x0.shape[2:])} (T, H, W) but Flow Propagation was planned for "
                f"{self.canvas.latent_shape}; connect the same plan to all nodes."
            )
        if options.weight == 0 or not is_active(sigma, following, options.start, options.end):
            return x0
        samples = self._to_samples(x0)
        height, width = self.visible
        seen = propagate(
            samples[..., :height, :width],
            self.forward,
            self.backward,
            interpolation=self.interpolation,
            beta=options.weight,
            alpha1=options.alpha1,
            alpha2=options.alpha2,
            before=self._before(step),
        )
        if self.last is not None:
            self.chunk_state.leave({STEP.format(step): seen[:, :, self.last].cpu().clone()})
        corrected = samples.clone()
        corrected[..., :height, :width] = seen
        latent = self._to_latent(corrected)
        return latent if noise_kept is None else preserve_noise(x0, latent, sigma, following, noise_kept)

    def _before(self, step: int) -> PreviousFrame | None:
        before, name = self.chunk_state.before, STEP.format(step)
        if before is None or self._entry_flows is None or name not in before:
            return None
        return PreviousFrame(before[name], self._entry_flows.to_next, self._entry_flows.to_previous)

    def _to_samples(self, x0: Tensor) -> Tensor:
        """To neighbouring samples; (1, C / n^2, t, n h, n w)."""
        return F.pixel_shuffle(x0.movedim(1, 2), self.block).movedim(2, 1)

    def _to_latent(self, samples: Tensor) -> Tensor:
        return F.pixel_unshuffle(samples.movedim(1, 2), self.block).movedim(2, 1)


def flows_between_latents(flows: ClipFlows, canvas: Canvas) -> tuple[Tensor, Tensor]:
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
        forward.append(chain_flows([flows.to_next[i] for i in steps]))
        backward.append(chain_flows([flows.to_previous[i] for i in reversed(steps)]))
    if not forward:
        return flows.to_next, flows.to_previous
    return torch.stack(forward), torch.stack(backward)


def chain_flows(flows: list[Tensor]) -> Tensor:
    """(2, H, W) flows, one after the other, as one: f(p) + g(p + f(p)) + ..."""
    total = flows[0]
    for flow in flows[1:]:
        total = total + warp(flow[None], total[None])[0]
    return total


def measure_propagation(
    options: PropagationOptions,
    canvas: Canvas,
    source: Tensor,
    *,
    pixels: bool,
    chunk_state: ChunkState | None = None,
    estimator: Estimator | None = None,
) -> CanvasPropagation:
    """Propagation with the motion of the input (T, h, w, 3) itself; dense inverse search by default.

    Pixels need motion that is exact to a fraction of an output pixel, so that it is measured on
    the upsampled LR input; for latents the input's own size is enough.
    """
    size = (int(source.shape[1]), int(source.shape[2]))
    if pixels and max(size) < MEASURED_PX:
        shrink = min(1.0, MEASURED_PX / max(canvas.target))
        size = (round(canvas.target[0] * shrink), round(canvas.target[1] * shrink))
    flows = estimate_clip_flows(_upsample(source, size).movedim(-1, 1), estimator)
    return CanvasPropagation(
        options, canvas, flows, pixels=pixels, source=source, chunk_state=chunk_state, estimator=estimator
    )


def _upsample(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """(T, h, w, 3) frames at the size at which motion is measured."""
    return frames if tuple(frames.shape[1:3]) == size else resize(frames, size).clamp(0, 1)
