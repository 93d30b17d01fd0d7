"""Where on the frame the patches of a plan lie, numbered for people to speak of."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import PlanError
from .canvas import Patch, PatchPlan

COLORS = {"primary": (1.0, 1.0, 1.0), "auxiliary": (0.25, 0.8, 1.0), "corner": (1.0, 0.65, 0.2)}
"""Red, green and blue in which each kind is drawn, everywhere."""
KINDS = tuple(COLORS)
"""Of patches, in the order in which their places are numbered."""


@dataclass(frozen=True)
class Position:
    """Where patches lie, in every window of time and every phase; pixels of the result, clipped to the frame."""

    number: int
    """From 1: primary places first, then auxiliary ones, then corners; row by row within a kind."""
    kind: str
    """One of :data:`KINDS`; where patches of two kinds lie in one place, the first of them."""
    y: int
    x: int
    height: int
    width: int

    @property
    def rows(self) -> slice:
        """Of the frame."""
        return slice(self.y, self.y + self.height)

    @property
    def columns(self) -> slice:
        """Of the frame."""
        return slice(self.x, self.x + self.width)


def list_positions(plan: PatchPlan) -> tuple[Position, ...]:
    """The places of a plan, in the order of their numbers."""
    stride, (frame_height, frame_width) = plan.canvas.stride_px, plan.canvas.target
    height, width = (cells * stride for cells in plan.patch_size[1:])
    found = []
    for number, (kind, (y, x)) in enumerate(_numbered_cells(plan), 1):
        top, left = y * stride, x * stride
        found.append(Position(number, kind, top, left, min(height, frame_height - top), min(width, frame_width - left)))
    return tuple(found)


def patches_at(plan: PatchPlan, number: int) -> tuple[Patch, ...]:
    """The patches at the place of a number: those of all windows of time and all phases, in the plan's order.

    Raises:
        PlanError: for a number that no place has.
    """
    positions = _numbered_cells(plan)
    if not 1 <= number <= len(positions):
        raise PlanError(f"The plan has no patch {number}; choose a number from 1 to {len(positions)}.")
    _, position = positions[number - 1]
    return tuple(patch for patch in plan.patches if patch.origin[1:] == position)


def _numbered_cells(plan: PatchPlan) -> list[tuple[str, tuple[int, int]]]:
    """(kind, (y, x) in cells) of every place, in the order of their numbers."""
    kinds: dict[tuple[int, int], str] = {}
    for patch in plan.patches:
        position = patch.origin[1:]
        kinds[position] = min(kinds.get(position, patch.kind), patch.kind, key=KINDS.index)
    return sorted(((kind, position) for position, kind in kinds.items()), key=lambda x: (KINDS.index(x[0]), x[1]))
