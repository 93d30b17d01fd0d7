"""Positions of a plan's patches on the frame, numbered so that users can refer to them."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import PlanError
from .canvas import Patch, PatchPlan

COLORS = {"primary": (1.0, 1.0, 1.0), "auxiliary": (0.25, 0.8, 1.0), "corner": (1.0, 0.65, 0.2)}
"""RGB colour in which patches of each kind are drawn."""
KINDS = tuple(COLORS)
"""Kinds of patches, in the order in which their positions are numbered."""


@dataclass(frozen=True)
class Position:
    """Rectangle shared by patches of all temporal windows and phases, in output pixels, clipped to the frame."""

    number: int
    """From 1: primary positions first, then auxiliary ones, then corners; row by row within a kind."""
    kind: str
    """One of :data:`KINDS`; the first of them where patches of two kinds share a position."""
    y: int
    x: int
    height: int
    width: int

    @property
    def rows(self) -> slice:
        """Rows of the frame."""
        return slice(self.y, self.y + self.height)

    @property
    def columns(self) -> slice:
        """Columns of the frame."""
        return slice(self.x, self.x + self.width)


def list_positions(plan: PatchPlan) -> tuple[Position, ...]:
    """List the positions of a plan, in the order of their numbers."""
    stride, (frame_height, frame_width) = plan.canvas.stride_px, plan.canvas.target
    height, width = (cells * stride for cells in plan.patch_size[1:])
    found = []
    for number, (kind, (y, x)) in enumerate(_numbered_cells(plan), 1):
        top, left = y * stride, x * stride
        found.append(Position(number, kind, top, left, min(height, frame_height - top), min(width, frame_width - left)))
    return tuple(found)


def patches_at(plan: PatchPlan, number: int) -> tuple[Patch, ...]:
    """The patches at a position, of all temporal windows and phases, in the plan's order.

    Args:
        number: of the position, see :class:`Position`.

    Raises:
        PlanError: when there is no such position.
    """
    positions = _numbered_cells(plan)
    if not 1 <= number <= len(positions):
        raise PlanError(f"The plan has no patch {number}; choose a number from 1 to {len(positions)}.")
    _, position = positions[number - 1]
    return tuple(patch for patch in plan.patches if patch.origin[1:] == position)


def _numbered_cells(plan: PatchPlan) -> list[tuple[str, tuple[int, int]]]:
    """(kind, (y, x) in cells) of every position, in the order of their numbers."""
    kinds: dict[tuple[int, int], str] = {}
    for patch in plan.patches:
        position = patch.origin[1:]
        kinds[position] = min(kinds.get(position, patch.kind), patch.kind, key=KINDS.index)
    return sorted(((kind, position) for position, kind in kinds.items()), key=lambda x: (KINDS.index(x[0]), x[1]))
