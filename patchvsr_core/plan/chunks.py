"""Cuts a long clip into chunks that are upscaled one after the other.

Chunks never cross a cut. Within a shot each begins a few frames before the last one ends; there
the two results are cross-faded.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import PlanError


@dataclass(frozen=True)
class Chunk:
    """Frames [first, end) of the clip."""

    first: int
    end: int
    lead: int
    """How many of them the chunk before has too; 0 at the begin of a shot."""
    continues_shot: bool = False
    """Whether the chunk before is of the same shot."""

    @property
    def length(self) -> int:
        return self.end - self.first


@dataclass(eq=False)
class ChunkState:
    """Takes what is remembered of a shot from one of its chunks to the next; tensors by name."""

    before: dict[str, Tensor] | None = None
    """What the chunk before left."""
    until: int | None = None
    """How many video frames of this chunk lie before the next one; None: no other follows."""
    after: dict[str, Tensor] | None = None
    """What this chunk leaves; None: nothing."""


def plan_chunks(frames: int, cuts: Sequence[int], length: int, overlap: int) -> tuple[Chunk, ...]:
    """As few chunks of at most ``length`` frames as cover every shot, as even as they can be.

    Args:
        frames: of the clip.
        cuts: first frames of new shots, ascending, within (0, frames).
        overlap: frames that successive chunks of a shot share.

    Raises:
        PlanError: when an overlap does not fit.
    """
    if not 0 <= overlap <= length // 3:
        raise PlanError(
            f"Chunks of {length} frames cannot overlap by {overlap}; the overlap may be a third of a chunk at most."
        )
    chunks = []
    for begin, end in itertools.pairwise([0, *cuts, frames]):
        count = max(1, -(-(end - begin - overlap) // max(1, length - overlap)))
        starts = [begin + k * (end - begin - overlap) // count for k in range(count)]
        ends = [start + overlap for start in starts[1:]] + [end]
        chunks += [
            Chunk(start, stop, overlap if start > begin else 0, start > begin)
            for start, stop in zip(starts, ends, strict=True)
        ]
    return tuple(chunks)


def cross_fade(before: Tensor, after: Tensor) -> Tensor:
    """From ``before`` to ``after``, frame by frame; neither end is wholly one of them.

    Args:
        before, after: (T, ...) the same frames, made twice.
    """
    steps = torch.arange(1, len(before) + 1, dtype=before.dtype, device=before.device) / (len(before) + 1)
    return torch.lerp(before, after, steps.reshape(-1, *[1] * (before.ndim - 1)))
