"""A refiner whose features are modulated by those of the input, as in Upscale-A-Video's conditional decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..vae.sft import Modulation, PositionNorm, ResidualBlockPlus, of_each_frame
from .refiner import CONSTANTS, FOLDED, Refiner, RefinerConfig

CONDITION = 32
"""Channels of the features of the input."""
EVERY = 4
"""Features are modulated after the second block and so many blocks later again."""


class ConditionalRefiner(Refiner):
    """A :class:`Refiner` with a branch that sees the enlarged input alone and modulates the features after some blocks.

    The branch has blocks over space and time; the modulation looks at one position at a time (as in SFTGAN)
    and norms are of one position too, so that a result depends on no more around it than a plain refiner's
    and tiles are equal to one large picture. Untrained, and with the weights of a plain refiner, it is that refiner.
    """

    copies = 11

    def __init__(self, config: RefinerConfig = RefinerConfig(kind="conditional")) -> None:
        super().__init__(config)
        self.stem = nn.Conv2d(CONSTANTS + FOLDED, CONDITION, 1)
        self.condition = nn.Sequential(*(ResidualBlockPlus(CONDITION, CONDITION, PositionNorm) for _ in range(2)))
        self.modulations = nn.ModuleList(
            Modulation(CONDITION, config.channels, PositionNorm, hidden=CONDITION, kernel=1)
            for _ in range((config.blocks + 2) // EVERY)
        )

    def start_from(self, plain: Refiner) -> None:
        """Take over the weights of a plain refiner of the same sizes.

        Raises:
            RuntimeError: when its sizes are others.
        """
        self.load_state_dict({**self.state_dict(), **plain.state_dict()})

    def _deepened(self, features: Tensor, seen: Tensor) -> Tensor:
        known = torch.cat([seen[:, :CONSTANTS], seen[:, CONSTANTS + FOLDED : CONSTANTS + 2 * FOLDED]], 1)
        condition = self.condition(of_each_frame(self.stem, _clip(known)))
        for block, modulation in zip(self.blocks, self._places(), strict=True):
            features = block(features)
            if modulation is not None:
                features = modulation(condition, _clip(features))[0].transpose(0, 1)
        return features

    def _places(self) -> list[nn.Module | None]:
        """For every block the modulation after it."""
        return [self.modulations[k // EVERY] if k % EVERY == 1 else None for k in range(len(self.blocks))]


def _clip(frames: Tensor) -> Tensor:
    """(T, C, H, W) to (1, C, T, H, W)."""
    return frames.transpose(0, 1)[None]
