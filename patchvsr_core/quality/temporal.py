"""Whether a clip is steady: what changes along the motion of a clip that can be trusted.

The motion is that of a reference - the original where there is one, otherwise the enlarged
source -, so that all results are judged along the same paths.
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
    """Of one frame to the next."""

    flow: Tensor
    """(1, 2, H, W) pixels."""
    valid: Tensor
    """(1, 1, H, W), 1 where the flow leads there and back and stays inside the picture, 0 elsewhere."""


def estimate_motion(first: Tensor, second: Tensor) -> Motion:
    """Motion from ``first`` to ``second``, (1, H, W, 3) in [0, 1]."""
    flows = estimate_clip_flows(torch.cat([first, second]).movedim(-1, 1))
    inside = warp(torch.ones_like(flows.to_next[:, :1]), flows.to_next).ge(0.999)
    return Motion(flows.to_next, consistency(flows.to_next, flows.to_previous) * inside)


def clip_motion(reference: Tensor) -> Iterator[Motion]:
    """Motion of every frame of a (T, H, W, 3) clip to the next one."""
    for first, second in pairwise(reference[k : k + 1] for k in range(len(reference))):
        yield estimate_motion(first, second)


def compensated_difference(first: Tensor, second: Tensor, motion: Motion) -> Tensor:
    """What ``first`` has that ``second``, moved back onto it, has not; all (1, C, H, W)."""
    first, second = first.movedim(-1, 1), second.movedim(-1, 1)
    return first - warp(second, motion.flow)


def warping_error(frames: Tensor, reference: Tensor, motion: Iterable[Motion] | None = None) -> float:
    """E_warp: mean squared difference of a frame and the next one moved back onto it, times 1000.

    It punishes sharpness, that of the original too: read it beside the reference's own. Not a number
    for a single frame, or where no motion can be trusted. Source: Lai et al. 2018; Upscale-A-Video.

    Args:
        frames: (T, H, W, 3) in [0, 1].
        reference: (T, h, w, 3); its motion, enlarged to the size of ``frames``, is the path.
        motion: of the reference at the size of ``frames``, where it is known.
    """
    return _mean_along_motion(pair_with_source(frames, reference), motion, Tensor.square)


def temporal_error(frames: Tensor, reference: Tensor, motion: Iterable[Motion] | None = None) -> float:
    """As :func:`warping_error`, but of what is wrong: how much (frames - reference) changes, squared, times 1000.

    0 for the reference and for any error that moves along with the picture; flicker counts in full,
    sharpness by itself not at all.
    """
    versions = ((frame - large, large) for frame, large in pair_with_source(frames, reference))
    return _mean_along_motion(versions, motion, Tensor.square)


def flicker(frames: Tensor, source: Tensor, motion: Iterable[Motion] | None = None) -> float:
    """Mean absolute change, along the motion, of what differs from the enlarged source; times 1000.

    As :func:`temporal_error`, but in proportion to what is seen: 10 is a hundredth of full range
    from each frame to the next.
    """
    versions = ((frame - large, large) for frame, large in pair_with_source(frames, source))
    return _mean_along_motion(versions, motion, Tensor.abs)


def brightness_flicker(frames: Tensor) -> float:
    """Deviation of the second differences over time of the mean brightness, times 1000.

    0 for still brightness and for any even fade; brightness that jumps by +d and -d about its mean
    from frame to frame has 4000 d. Not a number below 3 frames.
    """
    return brightness_jitter([float(luma(frames[k : k + 1]).mean(dtype=torch.float64)) for k in range(len(frames))])


def brightness_jitter(brightness: list[float]) -> float:
    """:func:`brightness_flicker` of the mean brightness of every frame."""
    if len(brightness) < 3:
        return float("nan")
    return float(1000 * torch.tensor(brightness, dtype=torch.float64).diff(n=2).std(correction=0))


@dataclass
class MeanAlongMotion:
    """A mean over the trusted pixels of all pairs of frames, added one pair at a time."""

    total: float = 0.0
    pixels: float = 0.0

    def add(self, values: Tensor, motion: Motion) -> Tensor:
        """Add (1, C, H, W) of one pair; answers their mean over channels, 0 where motion is not trusted."""
        trusted = values.mean(1, keepdim=True) * motion.valid
        self.total += float(trusted.sum(dtype=torch.float64))
        self.pixels += float(motion.valid.sum(dtype=torch.float64))
        return trusted

    @property
    def per_mille(self) -> float:
        """The mean times 1000; not a number where nothing was trusted."""
        return 1000 * self.total / self.pixels if self.pixels else float("nan")


def _mean_along_motion(
    versions: Iterator[tuple[Tensor, Tensor]], motion: Iterable[Motion] | None, size: Callable[[Tensor], Tensor]
) -> float:
    """Mean ``size`` of change over (judged, reference) frames."""
    mean, known = MeanAlongMotion(), None if motion is None else iter(motion)
    for (first, first_reference), (second, second_reference) in pairwise(versions):
        path = estimate_motion(first_reference, second_reference) if known is None else next(known)
        mean.add(size(compensated_difference(first, second, path)), path)
    return mean.per_mille
