"""Lets patches rest that hardly gain from another run: a clear sky, black bars, a title that stands still.

A resting patch takes over what the fused canvas held in its place after the step before. Nothing of its own is
stored, and a patch in motion beside it is not affected. What rests is measured in the input, once a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import PlanError
from ..kernels import blend_into, placement_of
from ..plan.canvas import Patch, PatchPlan

FLAT_LEVELS = 1.5
"""Deviation within every block, of 255, below which there is nothing in a patch; rounding to 8 bits alone has 0.3."""
STILL_LEVELS = 1.75
"""Mean change from frame to frame in every block below which a patch stands still."""
BLOCK_PX = 8
"""Side of a block of the input: what is smaller than a patch must not drown in it."""
REACH_PX = 2

Origins = frozenset[tuple[int, int, int]]


@dataclass(frozen=True)
class Calm:
    """Patches of a plan in which little happens, by their origins."""

    flat: Origins
    """Next to nothing is to be seen in them."""
    still: Origins
    """Nothing moves in them."""


def calm_patches(frames: Tensor, plan: PatchPlan) -> Calm:
    """Which patches have little in them, or stand still.

    Args:
        frames: (T, h, w, 3) input clip in [0, 1] of the plan's canvas.
    """
    flat, still = set(), set()
    for patch in {patch.origin: patch for patch in (*plan.patches, *plan.primary)}.values():
        detail, motion = _activity(frames[_seen(patch, plan)])
        if detail < FLAT_LEVELS:
            flat.add(patch.origin)
        if motion < STILL_LEVELS and len(frames) > 1:
            still.add(patch.origin)
    return Calm(frozenset(flat), frozenset(still))


class Resting(Protocol):
    """Says who rests at a step, and answers for them."""

    def split(self, patches: Sequence[Patch], step: int) -> tuple[list[Patch], list[Patch]]:
        """The patches that run, and those that rest."""

    def reuse(self, patches: Iterable[Patch], device: torch.device) -> list[Tensor]:
        """What resting patches add to the predictions of the whole canvas."""

    def store(self, fused: list[Tensor]) -> None:
        """The predictions of a step, for the one after."""


class Economy:
    """Who rests at which step of one run.

    Args:
        every: calm patches run at the first step, at the last, and at every so manieth in between.
        steps: of the run.
        enlarged: (1, C, t, h, w) latent of the enlarged input per condition, where a run starts from it: flat
            patches are taken from it and never run. None: the run starts from noise, which is removed everywhere.
    """

    def __init__(self, calm: Calm, every: int, steps: int, enlarged: list[Tensor] | None = None) -> None:
        self.calm, self.every, self.steps = calm, every, steps
        self._before = enlarged
        self._never = Origins() if enlarged is None else calm.flat

    def split(self, patches: Sequence[Patch], step: int) -> tuple[list[Patch], list[Patch]]:
        """The patches that run at a step, and those that rest."""
        runs_all = step % self.every == 0 or step == self.steps - 1
        resting = self._never if runs_all else self.calm.flat | self.calm.still
        return [p for p in patches if p.origin not in resting], [p for p in patches if p.origin in resting]

    def reuse(self, patches: Iterable[Patch], device: torch.device) -> list[Tensor]:
        """What resting patches add to the predictions of the whole canvas, (1, C, t, h, w) float32 per condition.

        Args:
            device: where the base works; the enlarged input may lie elsewhere.
        """
        assert self._before is not None, "at the first step only those rest that the input answers for"
        return [_weighted(canvas.to(device), patches) for canvas in self._before]

    def store(self, fused: list[Tensor]) -> None:
        """The predictions of a step, for the one after; they are kept, not copied."""
        self._before = fused


def economy_of_run(
    every: int, steps: int, calm: Callable[[], Calm], enlarged: list[Tensor] | None, *, attention: bool
) -> Economy | None:
    """What lets calm patches rest in a run, see :class:`Economy`; None where ``every`` is 1.

    Args:
        calm: measures them.
        attention: whether patches look at one another in this run.

    Raises:
        PlanError: when they do.
    """
    if every == 1:
        return None
    if attention:
        raise PlanError(
            "With attention propagation every patch is looked at by others and none can be skipped; set patch skipping "
            "to 1."
        )
    return Economy(calm(), every, steps, enlarged)


def _weighted(canvas: Tensor, patches: Iterable[Patch]) -> Tensor:
    out = torch.zeros_like(canvas, dtype=torch.float32)
    for patch in patches:
        blend_into(out[0], patch.crop(canvas), [placement_of(patch, out.device)])
    return out


def _activity(frames: Tensor) -> tuple[float, float]:
    """The largest of any block, in levels of 255: deviation within it, and mean change to the next frame."""
    levels = 255 * frames.movedim(-1, 1).float()
    mean, square = (F.avg_pool2d(x, BLOCK_PX, ceil_mode=True) for x in (levels, levels.square()))
    detail = (square - mean.square()).clamp(min=0).sqrt().max()
    if len(levels) == 1:
        return float(detail), 0.0
    return float(detail), float(F.avg_pool2d(levels.diff(dim=0).abs(), BLOCK_PX, ceil_mode=True).max())


def _seen(patch: Patch, plan: PatchPlan) -> tuple[slice, slice, slice]:
    """The frames, rows and columns of the input that a patch shows, with what bicubic enlargement draws in."""
    canvas, (t, y, x), (frames, height, width) = plan.canvas, patch.origin, patch.size
    first = 0 if t == 0 else 1 + (t - 1) * canvas.stride_frames
    last = min(1 + (t + frames - 1) * canvas.stride_frames, canvas.frames)
    spans = [slice(min(first, canvas.frames - 1), last)]
    for start, length, source, target in zip((y, x), (height, width), canvas.source, canvas.target, strict=True):
        per_cell = canvas.stride_px * source / target
        low, high = floor(start * per_cell) - REACH_PX, ceil((start + length) * per_cell) + REACH_PX
        spans.append(slice(max(0, min(low, source - 1)), min(high, source)))
    return spans[0], spans[1], spans[2]
