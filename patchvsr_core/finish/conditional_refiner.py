"""A refiner whose features are modulated by features of the input, as in Upscale-A-Video's conditional decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..vae.sft import Modulation, PositionNorm, ResidualBlockPlus, apply_per_frame
from .refiner import CONTROLS, FOLDED, Refiner, RefinerConfig

CONDITION_CHANNELS = 32
"""Channels of the condition features."""
BLOCKS_PER_MODULATION = 4
"""Features are modulated after the second block, and every so many blocks from there."""


class ConditionalRefiner(Refiner):
    """A :class:`Refiner` with a condition branch on the upsampled input that modulates the features after some blocks.

    The branch has spatio-temporal blocks. Modulation (as in SFTGAN) and norms are pointwise, so that the receptive
    field is no larger than a plain refiner's and tiling is exact. An untrained branch changes nothing: with the
    weights of a plain refiner it is equal to that refiner.
    """

    live_copies = 17

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
        """Copy the weights of a plain refiner of the same size.

        Raises:
            RuntimeError: when the sizes differ.
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
        """The modulation that follows each block, if any."""
        return [
            self.modulations[k // BLOCKS_PER_MODULATION] if k % BLOCKS_PER_MODULATION == 1 else None
            for k in range(len(self.blocks))
        ]


def _as_clip(frames: Tensor) -> Tensor:
    """(T, C, H, W) to (1, C, T, H, W)."""
    return frames.transpose(0, 1)[None]
