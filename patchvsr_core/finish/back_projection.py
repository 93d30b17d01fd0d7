"""Back-projection: make the result agree with the input again."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import PlanError
from ..progress import OnDone
from ..resample import frames_per_batch, resize

FULL_TRUST, NO_TRUST = 0.6, 1.1
"""Level of damage up to which an input is believed wholly, and from which not at all."""
TOLERANCE = 0.29 / 255
"""Root mean square of the difference below which a place gets no further round: that of rounding to 8 bits."""
NEIGHBOURHOOD_PX = 17
"""Side of the square of the input, around every pixel, in which it is taken."""


def check_pair(frames: Tensor, source: Tensor) -> None:
    """Raise unless ``frames`` can be an enlargement of ``source``; both (T, H, W, C).

    Raises:
        PlanError: when the lengths differ, or the input is larger than the result.
    """
    if len(frames) != len(source):
        raise PlanError(
            f"The result has {len(frames)} frames but the input {len(source)}; connect the clip it was made from."
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
    """Iterate x <- x + strength * U(y - D(x)), U and D being bicubic up- and downsampling.

    Afterwards the result, shrunk again, is the input: whatever a model invented survives only
    where the input cannot contradict it. Worth about half a decibel after any model, and
    without one (bicubic + back-projection is the baseline to beat).

    Args:
        frames: (T, H, W, C) result; not changed.
        source: (T, h, w, C) input y.
        rounds: iterations, at most; 0 leaves the result alone.
        strength: 0 (off) to 1; below 1 keeps more of the model's own low frequencies.
        degradation: level of noise and compression in the input, where it was measured (see
            :mod:`.degradation`): what the model removed of them is not to come back.
        tolerance: root mean square of the difference below which a place gets no further round;
            more rounds than it takes only add flicker (:data:`TOLERANCE` suits inputs of 8 bits).
            It is judged place by place, so that a part of a picture comes out as in the whole.
    """
    share = degradation_weight(degradation)
    if rounds == 0 or strength == 0:
        return frames
    if share == 0:
        if on_frames:
            on_frames(len(frames), len(frames))
        return frames
    out = torch.empty_like(frames)
    size, small = (int(frames.shape[1]), int(frames.shape[2])), (int(source.shape[1]), int(source.shape[2]))
    together = frames_per_batch(size)
    for start in range(0, len(frames), together):
        chunk = slice(start, start + together)
        x = _to_planar(frames[chunk])
        for number in range(rounds):
            missing = share * (source[chunk] - resize(x, small))
            if tolerance and number:
                missing = missing * (_local_rms(missing) > tolerance)
            x.add_(resize(missing, size), alpha=strength)
        out[chunk] = x
        if on_frames:
            on_frames(min(start + together, len(frames)), len(frames))
    return out


def degradation_weight(degradation: float) -> float:
    """How far an input is to be believed: 1 when it is clean, 0 when noise or an encoder changed it much.

    Args:
        degradation: level, see :func:`degradation.degradation_level`.
    """
    return min(1.0, max(0.0, (NO_TRUST - degradation) / (NO_TRUST - FULL_TRUST)))


def _local_rms(difference: Tensor) -> Tensor:
    """(T, h, w, 1) root mean square of (T, h, w, C) around every pixel."""
    squares = difference.square().mean(-1)[:, None]
    around = F.avg_pool2d(squares, NEIGHBOURHOOD_PX, 1, NEIGHBOURHOOD_PX // 2, count_include_pad=False)
    return around.sqrt().movedim(1, -1)


def _to_planar(frames: Tensor) -> Tensor:
    """A copy, (T, H, W, C) to read but channel by channel in memory, which resampling is faster on."""
    return frames.movedim(-1, 1).clone(memory_format=torch.contiguous_format).movedim(1, -1)
