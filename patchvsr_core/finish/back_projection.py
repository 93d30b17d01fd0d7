"""Back-projection: make the downsampled result match the input."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import PlanError
from ..progress import OnDone
from ..resample import add_resized, resize

FULL_TRUST, NO_TRUST = 0.0, 0.4
"""Degradation level up to which the input is fully trusted, and from which it is not trusted at all. Agreeing by a
quarter with noise of a deviation of 3 of 255, whose level is about 1, costs up to 3.6 dB."""
TOLERANCE = 0.29 / 255
"""RMS difference below which a pixel counts as converged: the error of rounding to 8 bits."""
NEIGHBOURHOOD_PX = 17
"""Side of the square neighbourhood, in input pixels, over which that RMS is taken."""


def check_pair(frames: Tensor, source: Tensor) -> None:
    """Raise unless ``frames`` can be an upscaled version of ``source``; both (T, H, W, C).

    Raises:
        PlanError: when the lengths differ, or the input is larger than the result.
    """
    if len(frames) != len(source):
        raise PlanError(
            f"The result has {len(frames)} frames but the input has {len(source)}; connect the clip it was made from."
        )
    if frames.shape[1] < source.shape[1] or frames.shape[2] < source.shape[2]:
        raise PlanError(
            f"The input is {source.shape[2]}x{source.shape[1]}, larger than the result of "
            f"{frames.shape[2]}x{frames.shape[1]}; the two may be swapped."
        )


def back_project(
    frames: Tensor,
    source: Tensor,
    *,
    rounds: int = 8,
    strength: float = 1.0,
    degradation: float = 0.0,
    tolerance: float = 0.0,
    on_frames: OnDone | None = None,
) -> Tensor:
    """Iterate x <- x + strength * U(y - D(x)), where U and D are bicubic up- and downsampling.

    The downsampled result then matches the input, so invented detail survives only where the input
    cannot contradict it. Worth about half a decibel, even without a model.

    Args:
        frames: (T, H, W, C) result; not changed.
        source: (T, h, w, C) input y.
        rounds: maximum number of iterations; 0 returns the result unchanged.
        strength: 0 (off) to 1; below 1 keeps more of the model's own low frequencies.
        degradation: estimated level of noise and compression in the input (see :mod:`degradation`);
            the higher it is, the smaller the correction, so that the artifacts do not come back.
        tolerance: RMS difference below which iteration stops, because further rounds only add
            flicker (:data:`TOLERANCE` suits 8-bit inputs). It is evaluated per pixel neighbourhood,
            so a crop gives the same result as the whole frame.

    Returns:
        (T, H, W, C) like ``frames``.
    """
    share = degradation_weight(degradation)
    if rounds == 0 or strength == 0:
        return frames
    if share == 0:
        if on_frames:
            on_frames(len(frames), len(frames))
        return frames
    out = torch.empty_like(frames)
    for number in range(len(frames)):
        frame = slice(number, number + 1)
        x = _to_planar(frames[frame])
        _project_frame(x, _to_planar(source[frame]), rounds, strength, share, tolerance)
        out[frame] = x
        if on_frames:
            on_frames(number + 1, len(frames))
    return out


def _project_frame(x: Tensor, y: Tensor, rounds: int, strength: float, share: float, tolerance: float) -> None:
    """Iterate on one frame in place; ``x`` (1, H, W, C) and ``y`` (1, h, w, C) are planar in memory."""
    small = int(y.shape[1]), int(y.shape[2])
    for done in range(rounds):
        missing = share * (y - resize(x, small))
        if tolerance and done:
            missing = missing * (_local_rms(missing) > tolerance)
            if not missing.any():
                return
        add_resized(x, missing, strength)


def degradation_weight(degradation: float) -> float:
    """Weight of back-projection for a degraded input: 1 for a clean one, 0 for one with heavy noise or compression.

    Args:
        degradation: level, see :func:`degradation.degradation_level`.
    """
    return min(1.0, max(0.0, (NO_TRUST - degradation) / (NO_TRUST - FULL_TRUST)))


def _local_rms(difference: Tensor) -> Tensor:
    """(T, h, w, 1) RMS of (T, h, w, C) over the neighbourhood of every pixel."""
    squares = difference.square().mean(-1)[:, None]
    for side in ((1, NEIGHBOURHOOD_PX), (NEIGHBOURHOOD_PX, 1)):
        squares = F.avg_pool2d(squares, side, 1, (side[0] // 2, side[1] // 2), count_include_pad=False)
    return squares.sqrt().movedim(1, -1)


def _to_planar(frames: Tensor) -> Tensor:
    """A (T, H, W, C) float32 copy that is planar in memory, which makes resampling faster."""
    return frames.float().movedim(-1, 1).clone(memory_format=torch.contiguous_format).movedim(1, -1)
