"""A refiner whose features are modulated by those of the input, as in Upscale-A-Video's conditional decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..vae.sft import Modulation, PositionNorm, ResidualBlockPlus, apply_per_frame
from .refiner import CONTROLS, FOLDED, Refiner, RefinerConfig

CONDITION_CHANNELS = 32
"""Channels of the features of the input."""
BLOCKS_PER_MODULATION = 4
"""Features are modulated after the second block and so many blocks later again."""


class ConditionalRefiner(Refiner):
    """A :class:`Refiner` with a branch that sees the enlarged input alone and modulates the features after some blocks.

    The branch has blocks over space and time; the modulation looks at one position at a time (as in SFTGAN)
    and norms are of one position too, so that a result depends on no more around it than a plain refiner's
    and tiles are equal to one large picture. Untrained, and with the weights of a plain refiner, it is that refiner.
    """

    live_copies = 11

    def __init__(self, config: RefinerConfig = RefinerConfig(kind="conditional")) -> None:
        super().__init__(config)
        self.stem = nn.Conv2d(CONTROLS + FOLDED, CONDITION_CHANNELS, 1)
        self.condition = nn.Sequential(
            *(ResidualBlockPlus(CONDITION_CHANNELS, CONDITION_CHANNELS, PositionNorm) for _ in range(2))
        )
        self.modulations = nn.ModuleList(
            Modulation(CONDITION_CHANNELS, config.channels, PositionNorm, hidden=CONDITION_CHANNELS, kernel=1)
            for _ in range((config.blocks + 2) // BLOCKS_PER_MODULATION)
        )

    def initialise_from(self, plain: Refiner) -> None:
        """Take over the weights of a plain refiner of the same sizes.

        Raises:
            RuntimeError: when its sizes are others.
        """
        self.load_state_dict({**self.state_dict(), **plain.state_dict()})

    def _run_blocks(self, features: Tensor, inputs: Tensor) -> Tensor:
        known = torch.cat([inputs[:, :CONTROLS], inputs[:, CONTROLS + FOLDED : CONTROLS + 2 * FOLDED]], 1)
        condition = self.condition(apply_per_frame(self.stem, _as_clip(known)))
        for block, modulation in zip(self.blocks, self._modulation_after_blocks(), strict=True):
            features = block(features)
            if modulation is not None:
                features = modulation(condition, _as_clip(features))[0].transpose(0, 1)
        return features

    def _modulation_after_blocks(self) -> list[nn.Module | None]:
        """For every block the modulation after it."""
        return [
            self.modulations[k // BLOCKS_PER_MODULATION] if k % BLOCKS_PER_MODULATION == 1 else None
            for k in range(len(self.blocks))
        ]


def _as_clip(frames: Tensor) -> Tensor:
    """(T, C, H, W) to (1, C, T, H, W)."""
    return frames.transpose(0, 1)[None]
