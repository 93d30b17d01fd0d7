"""What may be chosen about patches that attend to one another; see :mod:`.attention`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import PlanError
from .frame_selection import CHOICES


@dataclass(frozen=True)
class AttentionOptions:
    """Choices of a run; everything is off by default."""

    spatial: bool = False
    temporal: bool = False
    lazy: bool = False
    """SAP reuses what the step before recorded instead of running the patches twice."""
    frames: int = 1
    """Latent frames of the neighbour in time that TAP looks at; L of the paper, which has 4 and one for every frame."""
    choice: str = "rich"
    """Which: those ``rich`` in detail, or those ``nearest`` to the patch that looks, or ``farthest``."""
    layers: tuple[int, ...] | None = None
    """Transformer blocks in which SAP and TAP act; None: all."""
    reach: float | None = None
    """How far from a patch, in its own sizes, keys may claim to lie; None: wherever they are."""
    offload: bool = False
    """Keep keys and values in main memory instead of the GPU's."""
    softening: tuple[float, float] = (1.0, 1.0)
    """DSSAG's g at the first and at the last step, linear between them: a guess, as the paper's schedule and even the
    direction of its change are not known; 1 is off."""

    def __post_init__(self) -> None:
        if self.choice not in CHOICES:
            raise PlanError(f"Choice {self.choice!r} of frames is unknown; choose one of {', '.join(CHOICES)}.")
        if self.frames < 1:
            raise PlanError(f"Temporal attention needs at least 1 frame of the neighbouring window, not {self.frames}.")
        if min(self.softening) < 1:
            raise PlanError(f"A softening of {min(self.softening)} sharpens the negative branch; use 1 or more.")
        if self.reach is not None and self.reach < 0:
            raise PlanError(f"A reach of {self.reach} patches is out of range; use 0 or more.")

    @property
    def active(self) -> bool:
        """Whether anything is on."""
        return self.spatial or self.temporal or self.softening != (1.0, 1.0)


def parse_layers(text: str) -> tuple[int, ...] | None:
    """``0-9, 20`` to block numbers; empty or ``all``: None, every block.

    Raises:
        PlanError: for anything else.
    """
    if text.strip() in ("", "all"):
        return None
    layers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        last = match and (match[2] or match[1])
        if match is None or last is None or int(last) < int(match[1]):
            raise PlanError(f"Layers {text!r} cannot be read; write numbers and ranges such as 0-9, 20, or all.")
        layers |= set(range(int(match[1]), int(last) + 1))
    return tuple(sorted(layers))


def check_layers(options: AttentionOptions, layers: int) -> None:
    """Raise when the chosen blocks are none of a model's.

    Raises:
        PlanError: saying which it has.
    """
    if options.layers is not None and not any(number < layers for number in options.layers):
        raise PlanError(f"This model has the blocks 0-{layers - 1}; choose layers among them, or all.")
