"""Pairs the frames of a result with those of its source, and compares their detail and content.

All metrics take (T, H, W, 3) frames in [0, 1] and a source of the same length and any size. They
are computed frame by frame, so that memory does not grow with the clip.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..errors import PlanError
from ..resample import resize
from ..srgb import LUMA


def pair_with_source(frames: Tensor, source: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over (frame, source frame resized to it), two (1, H, W, 3) float32 each.

    Raises:
        PlanError: when the lengths differ.
    """
    check_lengths(frames, source)
    size = int(frames.shape[1]), int(frames.shape[2])
    for k in range(len(frames)):
        yield frames[k : k + 1].float(), resize(source[k : k + 1].float(), size).clamp(0, 1)


def check_lengths(frames: Tensor, source: Tensor) -> None:
    """Raise unless both have the same number of frames.

    Raises:
        PlanError: when the lengths differ.
    """
    if len(frames) != len(source):
        raise PlanError(
            f"The result has {len(frames)} frames but the source has {len(source)}; connect the clip it was made from."
        )


def luma(frames: Tensor) -> Tensor:
    """(T, 1, H, W) luma of (T, H, W, 3) frames."""
    return (frames.float() * torch.tensor(LUMA, device=frames.device)).sum(-1)[:, None]


def gradient_energy(frames: Tensor) -> float:
    """Mean squared horizontal plus mean squared vertical luma gradient."""
    brightness = luma(frames)
    return sum(_mean_square(brightness.diff(dim=axis)) for axis in (-1, -2))


def detail_energy(frames: Tensor, source: Tensor) -> float:
    """Gradient energy relative to the upsampled source: below 1 is softer, above 1 sharper than it."""
    pairs = [(gradient_energy(frame), gradient_energy(large)) for frame, large in pair_with_source(frames, source)]
    mine, plain = (sum(energies) for energies in zip(*pairs, strict=True))
    return mine / plain if plain else float("nan")


def downsampled_difference(frame: Tensor, source: Tensor) -> Tensor:
    """Absolute difference of a downsampled frame from the source's, averaged over channels: (1, 1, h, w).

    Args:
        frame, source: (1, H, W, 3) and (1, h, w, 3); compared at the smaller height and width.
    """
    size = min(frame.shape[1], source.shape[1]), min(frame.shape[2], source.shape[2])
    return (resize(frame.float(), size) - resize(source.float(), size)).abs().mean(-1)[:, None]


def _mean_square(values: Tensor) -> float:
    return float(values.square().mean()) if values.numel() else 0.0
