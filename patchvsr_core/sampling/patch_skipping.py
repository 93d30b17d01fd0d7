"""Skips patches that hardly gain from another run: a clear sky, black bars, a title that stands still.

A skipped patch reuses what the fused canvas held at its position after the step before. Nothing of its own is
stored, and a moving patch beside it is not affected. Which patches are static is measured in the input, once a clip.
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
class StaticPatches:
    """Patches of a plan in which little happens, by their origins."""

    flat: Origins
    """With next to no detail."""
    still: Origins
    """With no motion."""


def find_static_patches(frames: Tensor, plan: PatchPlan) -> StaticPatches:
    """Which patches have next to no detail, or no motion.

    Args:
        frames: (T, h, w, 3) input clip in [0, 1] of the plan's canvas.
    """
    flat, still = set(), set()
    for patch in {patch.origin: patch for patch in (*plan.patches, *plan.primary)}.values():
        detail, motion = _measure_activity(frames[_input_window(patch, plan)])
        if detail < FLAT_LEVELS:
            flat.add(patch.origin)
        if motion < STILL_LEVELS and len(frames) > 1:
            still.add(patch.origin)
    return StaticPatches(frozenset(flat), frozenset(still))


class SkipPolicy(Protocol):
    """Chooses which patches are skipped at a step, and what stands in for them."""

    def split(self, patches: Sequence[Patch], step: int) -> tuple[list[Patch], list[Patch]]:
        """The patches that run, and those that are skipped."""

    def reuse(self, patches: Iterable[Patch], device: torch.device) -> list[Tensor]:
        """What skipped patches add to the predictions of the whole canvas."""

    def store(self, fused: list[Tensor]) -> None:
        """Take the predictions of a step, for the one after."""


class PatchSkipping:
    """Runs static patches only at every ``interval``-th step.

    Args:
        interval: static patches run at the first step, at the last, and at every ``interval``-th in between.
        steps: of the run.
        upsampled: (1, C, t, h, w) latent of the upsampled LR input per condition, where a run starts from it: flat
            patches are taken from it and never run. None: the run starts from noise, which is removed everywhere.
    """

    def __init__(self, static: StaticPatches, interval: int, steps: int, upsampled: list[Tensor] | None = None) -> None:
        self.static, self.interval, self.steps = static, interval, steps
        self._last = upsampled
        self._always_skipped = Origins() if upsampled is None else static.flat

    def split(self, patches: Sequence[Patch], step: int) -> tuple[list[Patch], list[Patch]]:
        """The patches that run at a step, and those that are skipped."""
        is_first = self._last is None  # a guidance node may begin late
        runs_all = is_first or step % self.interval == 0 or step == self.steps - 1
        skipped = self._always_skipped if runs_all else self.static.flat | self.static.still
        return [p for p in patches if p.origin not in skipped], [p for p in patches if p.origin in skipped]

    def reuse(self, patches: Iterable[Patch], device: torch.device) -> list[Tensor]:
        """What skipped patches add to the predictions of the whole canvas, (1, C, t, h, w) float32 per condition.

        Args:
            device: where the base works; the upsampled LR input may lie elsewhere.
        """
        assert self._last is not None, "at the first step only those are skipped that the input stands in for"
        return [_blend_patches(canvas.to(device), patches) for canvas in self._last]

    def store(self, fused: list[Tensor]) -> None:
        """Take the predictions of a step, for the one after; they are not copied."""
        self._last = fused


def make_patch_skipping(
    interval: int,
    steps: int,
    find_static: Callable[[], StaticPatches],
    upsampled: list[Tensor] | None,
    *,
    attention: bool,
) -> PatchSkipping | None:
    """The skip policy of a run, see :class:`PatchSkipping`; None where ``interval`` is 1.

    Args:
        find_static: measures which patches are static.
        attention: whether patches attend to one another in this run.

    Raises:
        PlanError: when they do.
    """
    if interval == 1:
        return None
    if attention:
        raise PlanError(
            "With attention propagation others attend to every patch and none can be skipped; set patch skipping to 1."
        )
    return PatchSkipping(find_static(), interval, steps, upsampled)


def _blend_patches(canvas: Tensor, patches: Iterable[Patch]) -> Tensor:
    out = torch.zeros_like(canvas, dtype=torch.float32)
    for patch in patches:
        blend_into(out[0], patch.crop(canvas), [placement_of(patch, out.device)])
    return out


def _measure_activity(frames: Tensor) -> tuple[float, float]:
    """The largest of any block, in levels of 255: deviation within it, and mean change to the next frame."""
    levels = 255 * frames.movedim(-1, 1).float()
    mean, square = (F.avg_pool2d(x, BLOCK_PX, ceil_mode=True) for x in (levels, levels.square()))
    detail = (square - mean.square()).clamp(min=0).sqrt().max()
    if len(levels) == 1:
        return float(detail), 0.0
    return float(detail), float(F.avg_pool2d(levels.diff(dim=0).abs(), BLOCK_PX, ceil_mode=True).max())


def _input_window(patch: Patch, plan: PatchPlan) -> tuple[slice, slice, slice]:
    """The frames, rows and columns of the input that a patch shows, with what bicubic upsampling draws in."""
    canvas, (t, y, x), (frames, height, width) = plan.canvas, patch.origin, patch.size
    first = 0 if t == 0 else 1 + (t - 1) * canvas.stride_frames
    last = min(1 + (t + frames - 1) * canvas.stride_frames, canvas.frames)
    spans = [slice(min(first, canvas.frames - 1), last)]
    for start, length, source, target in zip((y, x), (height, width), canvas.source, canvas.target, strict=True):
        per_cell = canvas.stride_px * source / target
        low, high = floor(start * per_cell) - REACH_PX, ceil((start + length) * per_cell) + REACH_PX
        spans.append(slice(max(0, min(low, source - 1)), min(high, source)))
    return spans[0], spans[1], spans[2]
