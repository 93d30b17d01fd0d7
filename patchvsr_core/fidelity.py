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
SOUND, HARMED = 0.3, 0.9
"""Level of damage up to which an input is believed wholly, and from which not at all."""
BLOCK_PX = 8
ALIKE = 0.5
"""Correlation of neighbouring pixels above which a difference is no noise."""
AGREED = 1 / 255
"""Root mean square of the difference below which a frame gets no further round."""
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
    damage: float = 0.0,
    on_frames: OnDone | None = None,
) -> Tensor:
    """Iterate x <- x + strength * U(y - D(x)), U and D being bicubic up- and downsampling.

    Afterwards the result, shrunk again, is the input: whatever a model invented survives only
    where the input cannot contradict it. Worth about half a decibel after any model, and
    without one (bicubic + back-projection is the baseline to beat).

    Args:
        frames: (T, H, W, C) result; not changed.
        source: (T, h, w, C) input y.
        rounds: iterations; 0 leaves the result alone. Without ``keep_noise`` a frame gets no more
            than it needs to agree with the input within a level: more only add flicker.
        strength: 0 (off) to 1; below 1 keeps more of the model's own low frequencies.
        keep_noise: False believes every frame of the input only as far as it is clean (see
            :func:`trust`), so that noise which the model removed does not come back.
        damage: level of noise and compression in the input (see :mod:`.damage`), where it was measured:
            what an encoder made of a clip is not to be restored.
    """
    if rounds == 0 or strength == 0:
        return frames
    out = torch.empty_like(frames)
    size, small = (int(frames.shape[1]), int(frames.shape[2])), (int(source.shape[1]), int(source.shape[2]))
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        chunk = slice(start, start + FRAMES_AT_ONCE)
        x = _planar(frames[chunk])
        share: Tensor | float = 1.0
        if not keep_noise:
            unharmed = min(1.0, max(0.0, (HARMED - damage) / (HARMED - SOUND)))
            share = unharmed * trust(x, source[chunk])[:, None, None, None]
        for number in range(rounds):
            missing = (source[chunk] - resize(x, small)) * share
            if not keep_noise and number:
                missing = missing * (_deviation(missing) > AGREED)[:, None, None, None]
            x.add_(resize(missing, size), alpha=strength)
        out[chunk] = x
        if on_frames:
            on_frames(min(start + FRAMES_AT_ONCE, len(frames)), len(frames))
    return out


def trust(frames: Tensor, source: Tensor) -> Tensor:
    """How far each frame of an input is to be believed: 1 when it is clean, 0 when it is noisy.

    A model that removes noise leaves it as the difference between the input and its own result
    shrunk again. In textured places that difference is also what the model could not restore, so
    it is read in the blocks where it is least; and where neighbouring pixels differ alike, it is
    no noise.

    Args:
        frames: (T, H, W, C) result, in [0, 1].
        source: (T, h, w, C) input.

    Returns:
        (T,) in [0, 1].
    """
    difference = (source - resize(frames, (int(source.shape[1]), int(source.shape[2])))).float()
    block = min(BLOCK_PX, *difference.shape[1:3])
    right, below = difference.roll(-1, dims=2), difference.roll(-1, dims=1)
    products = [difference * other for other in (difference, right, below)]
    energy, across, down = (F.avg_pool2d(p.mean(-1)[:, None], block).flatten(1) for p in products)
    limit = energy.quantile(QUIET, dim=1, keepdim=True)
    quiet = energy <= limit
    alike = torch.maximum((across * quiet).sum(1).abs(), (down * quiet).sum(1).abs())
    likeness = alike / (energy * quiet).sum(1).clamp(min=1e-12)
    is_clean = (NOISY - limit[:, 0].sqrt()) / (NOISY - CLEAN)
    is_structure = (likeness - ALIKE) / (1 - ALIKE) * 4
    return torch.maximum(is_clean, is_structure).clamp(0, 1).to(frames)


def _deviation(difference: Tensor) -> Tensor:
    """(T,) root mean square of (T, h, w, C)."""
    return difference.square().mean((1, 2, 3)).sqrt()


def _planar(frames: Tensor) -> Tensor:
    """A copy, (T, H, W, C) to read but channel by channel in memory, which resampling is faster on."""
    return frames.movedim(-1, 1).clone(memory_format=torch.contiguous_format).movedim(1, -1)
