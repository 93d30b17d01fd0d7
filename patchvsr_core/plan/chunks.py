"""Splits a long clip into chunks that are upscaled one after the other.

Chunks never cross a shot boundary. Within a shot they overlap by a few frames, in which their results
are cross-faded.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
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
    """Frames shared with the previous chunk; 0 at the beginning of a shot."""
    continues_shot: bool = False
    """Whether the previous chunk belongs to the same shot."""

    @property
    def length(self) -> int:
        return self.end - self.first


@dataclass(eq=False)
class ChunkState:
    """Recurrent state that is passed from one chunk of a shot to the next; tensors by name."""

    before: dict[str, Tensor] | None = None
    """State left by the previous chunk."""
    until: int | None = None
    """Video frames of this chunk before the next one starts; None when this is the last one."""
    first: int = 0
    """Number of the chunk's first frame in the clip."""
    after: dict[str, Tensor] | None = None
    """State that this chunk leaves; None for none."""
    on_final: Callable[[Tensor], None] | None = None
    """Takes each frame of the result, (H, W, 3), as soon as nothing changes it any more, in order. Work that hands its
    frames on there returns none of them, (0, H, W, 3), so that memory does not grow with the chunk; work that finishes
    all frames at once leaves it alone."""

    def leave(self, state: Mapping[str, Tensor]) -> None:
        """Leave some state to the next chunk, beside what other stages leave."""
        self.after = {**(self.after or {}), **state}


def plan_chunks(frames: int, cuts: Sequence[int], length: int, overlap: int) -> tuple[Chunk, ...]:
    """Cover every shot with as few chunks of at most ``length`` frames as possible, of similar length.

    Args:
        frames: length of the clip.
        cuts: first frames of new shots, ascending, within (0, frames).
        overlap: frames that consecutive chunks of a shot share.

    Raises:
        PlanError: when the overlap is longer than a third of a chunk.
    """
    if not 0 <= overlap <= length // 3:
        raise PlanError(
            f"Chunks of {length} frames cannot overlap by {overlap}; the overlap must be at most a third of a chunk."
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
    """Fade linearly from ``before`` to ``after``; both contribute to every frame.

    Args:
        before, after: (T, ...) results of two chunks for the same frames.
    """
    steps = torch.arange(1, len(before) + 1, dtype=before.dtype, device=before.device) / (len(before) + 1)
    return torch.lerp(before, after, steps.reshape(-1, *[1] * (before.ndim - 1)))
