"""Back-projection: make the result agree with the input again."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import PlanError
from .progress import OnDone
from .resample import resize

FRAMES_AT_ONCE = 8
CLEAN, NOISY = 0.45 / 255, 0.95 / 255
"""Deviation of the noise in an input up to which it is believed wholly, and from which not at all."""
BLOCK_PX = 8
QUIET = 0.1
"""Share of the blocks that is looked at for noise: those where the result agrees best with the input."""


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
    keep_noise: bool = True,
    on_frames: OnDone | None = None,
) -> Tensor:
    """Iterate x <- x + strength * U(y - D(x)), U and D being bicubic up- and downsampling.

    Afterwards the result, shrunk again, is the input: whatever a model invented survives only
    where the input cannot contradict it. Worth about half a decibel after any model, and
    without one (bicubic + back-projection is the baseline to beat).

    Args:
        frames: (T, H, W, C) result; not changed.
        source: (T, h, w, C) input y.
        rounds: iterations; 0 leaves the result alone.
        strength: 0 (off) to 1; below 1 keeps more of the model's own low frequencies.
        keep_noise: False believes every frame of the input only as far as it is clean (see
            :func:`trust`), so that noise which the model removed does not come back.
    """
    if rounds == 0 or strength == 0:
        return frames
    out = torch.empty_like(frames)
    size, small = (int(frames.shape[1]), int(frames.shape[2])), (int(source.shape[1]), int(source.shape[2]))
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        chunk = slice(start, start + FRAMES_AT_ONCE)
        x = _planar(frames[chunk])
        share = strength if keep_noise else strength * trust(x, source[chunk])[:, None, None, None]
        for _ in range(rounds):
            x.add_(resize((source[chunk] - resize(x, small)) * share, size))
        out[chunk] = x
        if on_frames:
            on_frames(min(start + FRAMES_AT_ONCE, len(frames)), len(frames))
    return out


def trust(frames: Tensor, source: Tensor) -> Tensor:
    """How far each frame of an input is to be believed: 1 when it is clean, 0 when it is noisy.

    A model that removes noise leaves it as the difference between the input and its own result
    shrunk again. In textured places that difference is also what the model could not restore, so
    it is read where it is least.

    Args:
        frames: (T, H, W, C) result, in [0, 1].
        source: (T, h, w, C) input.

    Returns:
        (T,) in [0, 1].
    """
    difference = (source - resize(frames, (int(source.shape[1]), int(source.shape[2])))).square().mean(-1)
    block = min(BLOCK_PX, *difference.shape[1:])
    blocks = F.avg_pool2d(difference[:, None].float(), block).flatten(1)
    noise = blocks.quantile(QUIET, dim=1).sqrt()
    return ((NOISY - noise) / (NOISY - CLEAN)).clamp(0, 1).to(frames)


def _planar(frames: Tensor) -> Tensor:
    """A copy, (T, H, W, C) to read but channel by channel in memory, which resampling is faster on."""
    return frames.movedim(-1, 1).clone(memory_format=torch.contiguous_format).movedim(1, -1)
