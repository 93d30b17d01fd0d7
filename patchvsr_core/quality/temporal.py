"""Temporal consistency: changes along the motion of a reference clip.

The reference is the ground truth where there is one, otherwise the upsampled source, so that all results
are measured along the same trajectories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..optical_flow.flow import consistency, estimate_clip_flows, warp
from .frame_pairs import luma, pair_with_source


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion from one frame to the next."""

    flow: Tensor
    """(1, 2, H, W) pixels."""
    valid: Tensor
    """(1, 1, H, W), 1 where the flow is forward-backward consistent and inside the frame, 0 elsewhere."""


def estimate_motion(first: Tensor, second: Tensor) -> Motion:
    """Estimate the motion from ``first`` to ``second``, (1, H, W, 3) in [0, 1]."""
    flows = estimate_clip_flows(torch.cat([first, second]).movedim(-1, 1))
    inside = warp(torch.ones_like(flows.to_next[:, :1]), flows.to_next).ge(0.999)
    return Motion(flows.to_next, consistency(flows.to_next, flows.to_previous) * inside)


def clip_motion(reference: Tensor) -> Iterator[Motion]:
    """Iterate over the motion from every frame of a (T, H, W, 3) clip to the next."""
    for first, second in pairwise(reference[k : k + 1] for k in range(len(reference))):
        yield estimate_motion(first, second)


def compensated_difference(first: Tensor, second: Tensor, motion: Motion) -> Tensor:
    """``first`` minus ``second`` warped back onto it: two (1, H, W, C) to (1, C, H, W)."""
    first, second = first.movedim(-1, 1), second.movedim(-1, 1)
    return first - warp(second, motion.flow)


def warping_error(frames: Tensor, reference: Tensor, motion: Iterable[Motion] | None = None) -> float:
    """E_warp: mean squared difference between a frame and the next one warped back onto it, times 1000.

    It penalises sharpness, even that of a ground truth: compare it with the reference's own. NaN for a
    single frame, or where no motion is valid. Source: Lai et al. 2018; Upscale-A-Video.

    Args:
        frames: (T, H, W, 3) in [0, 1].
        reference: (T, h, w, 3); its motion is estimated at the size of ``frames``.
        motion: precomputed motion of the reference at the size of ``frames``.
    """
    return _mean_along_motion(pair_with_source(frames, reference), motion, Tensor.square)


def temporal_error(frames: Tensor, reference: Tensor, motion: Iterable[Motion] | None = None) -> float:
    """As :func:`warping_error`, but of the error (frames - reference).

    0 for the reference, and for any error that moves along with the content; flicker counts fully,
    sharpness by itself does not count.
    """
    versions = ((frame - large, large) for frame, large in pair_with_source(frames, reference))
    return _mean_along_motion(versions, motion, Tensor.square)


def flicker(frames: Tensor, source: Tensor, motion: Iterable[Motion] | None = None) -> float:
    """Mean absolute change along the motion of the difference from the upsampled source, times 1000.

    As :func:`temporal_error`, but linear: 10 is a change of a hundredth of the full range per frame.
    """
    versions = ((frame - large, large) for frame, large in pair_with_source(frames, source))
    return _mean_along_motion(versions, motion, Tensor.abs)


def brightness_flicker(frames: Tensor) -> float:
    """Standard deviation of the second temporal differences of mean luma, times 1000.

    0 for constant brightness and for linear fades; 4000 d for brightness that alternates by +d and -d
    about its mean. NaN below 3 frames.
    """
    return brightness_jitter([float(luma(frames[k : k + 1]).mean(dtype=torch.float64)) for k in range(len(frames))])


def brightness_jitter(brightness: list[float]) -> float:
    """:func:`brightness_flicker` of the mean brightness of every frame."""
    if len(brightness) < 3:
        return float("nan")
    return float(1000 * torch.tensor(brightness, dtype=torch.float64).diff(n=2).std(correction=0))


@dataclass
class MeanAlongMotion:
    """A running mean over the pixels with valid motion of all pairs of frames."""

    total: float = 0.0
    pixels: float = 0.0

    def add(self, values: Tensor, motion: Motion) -> Tensor:
        """Add (1, C, H, W) of one pair; returns their mean over channels, 0 where motion is invalid."""
        trusted = values.mean(1, keepdim=True) * motion.valid
        self.total += float(trusted.sum(dtype=torch.float64))
        self.pixels += float(motion.valid.sum(dtype=torch.float64))
        return trusted

    @property
    def per_mille(self) -> float:
        """The mean times 1000; NaN where no motion was valid."""
        return 1000 * self.total / self.pixels if self.pixels else float("nan")


def _mean_along_motion(
    versions: Iterator[tuple[Tensor, Tensor]], motion: Iterable[Motion] | None, size: Callable[[Tensor], Tensor]
) -> float:
    """Mean of ``size`` of the compensated difference over (measured, reference) frames."""
    mean, known = MeanAlongMotion(), None if motion is None else iter(motion)
    for (first, first_reference), (second, second_reference) in pairwise(versions):
        path = estimate_motion(first_reference, second_reference) if known is None else next(known)
        mean.add(size(compensated_difference(first, second, path)), path)
    return mean.per_mille
