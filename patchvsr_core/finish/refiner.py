"""The refiner: a small convolutional network that corrects decoded frames using the input.

It gets the decoded frames and the bicubically upsampled input at a quarter of the output resolution
(pixel unshuffle) and predicts a residual for the former: the idea of Upscale-A-Video's conditional
decoder, for any codec. It also gets the previous and next input frames, warped along the optical
flow, and every other block shifts some channels by one frame back and ahead. It is conditioned on the
level of the input's degradation (see :mod:`degradation`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kind = Literal["plain", "conditional"]
CONTROLS = 3
"""Number of global conditions: detail, scale, degradation."""
FOLD = 4
"""Pixel unshuffle factor."""
FOLDED = 3 * FOLD * FOLD
"""Channels of an unshuffled RGB frame."""


@dataclass(frozen=True)
class RefinerConfig:
    """Hyper-parameters, stored beside the weights."""

    channels: int = 64
    blocks: int = 8
    kind: Kind = "plain"
    """``conditional``: see :class:`conditional_refiner.ConditionalRefiner`."""


class Refiner(nn.Module):
    """Maps decoded frames, upsampled input and aligned neighbours to corrected frames; all in [0, 1]."""

    live_copies = 8
    """Feature maps that are alive at the same time."""

    def __init__(self, config: RefinerConfig = RefinerConfig()) -> None:
        super().__init__()
        self.config = config
        self.head = nn.Conv2d(CONTROLS + 4 * FOLDED, config.channels, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(config.channels, bool(k % 2)) for k in range(config.blocks))
        self.tail = nn.Conv2d(config.channels, FOLDED, 3, padding=1)
        self.register_load_state_dict_pre_hook(_drop_estimator)
        for parameter in self.tail.parameters():
            nn.init.zeros_(parameter)  # an untrained refiner changes nothing

    def forward(
        self, decoded: Tensor, upsampled: Tensor, neighbours: Tensor, scale: float, detail: float, degradation: float
    ) -> Tensor:
        """Correct a clip.

        Args:
            decoded, upsampled: (T, 3, H, W), sides multiples of 4.
            neighbours: (T, 6, H, W), see :func:`optical_flow.align.align_window`.
            scale: upscaling factor.
            detail: 0 for the most faithful result, 1 for the crispest.
            degradation: see :func:`degradation.degradation_level`.

        Returns:
            (T, 3, H, W).
        """
        inputs = self._assemble_input(decoded, upsampled, neighbours, (detail, math.log2(scale), degradation))
        features = self.head(inputs)
        return decoded + F.pixel_shuffle(self.tail(self._run_blocks(features, inputs) + features), FOLD)

    def _assemble_input(
        self, decoded: Tensor, upsampled: Tensor, neighbours: Tensor, constants: tuple[float, ...]
    ) -> Tensor:
        """Concatenate the network's input, in this order: global conditions, decoded, upsampled, neighbours."""
        differences = torch.cat([decoded, neighbours], 1) - upsampled.repeat(1, 3, 1, 1)
        parts = (differences[:, :3], upsampled - 0.5, differences[:, 3:])
        x = torch.cat([F.pixel_unshuffle(part, FOLD) for part in parts], 1)
        return torch.cat([x.new_tensor(constants)[:, None, None].expand(len(x), -1, *x.shape[2:]), x], 1)

    def _run_blocks(self, features: Tensor, inputs: Tensor) -> Tensor:
        """Run all blocks; subclasses may also use the network's ``inputs``."""
        for block in self.blocks:
            features = block(features)
        return features

    @property
    def reach_frames(self) -> int:
        """Temporal receptive field: frames on either side that a frame's result depends on."""
        return len(self.blocks) // 2 + 1

    @property
    def reach_px(self) -> int:
        """Spatial receptive field: pixels on either side that a pixel's result depends on, at most."""
        return FOLD * (2 * len(self.blocks) + 3)


def _drop_estimator(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Load files and checkpoints of earlier versions, which held the degradation estimator, too."""
    for name in [name for name in state if name.startswith((f"{prefix}meter.", f"{prefix}estimator."))]:
        del state[name]


class _Block(nn.Module):
    def __init__(self, channels: int, temporal: bool) -> None:
        super().__init__()
        self.temporal = temporal
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        shifted = _with_neighbours(x) if self.temporal else x
        return x + self.conv2(F.relu(self.conv1(shifted)))


def _with_neighbours(x: Tensor) -> Tensor:
    """Temporal shift: a quarter of the channels from the previous frame, a quarter from the next; ends are repeated."""
    quarter = x.shape[1] // 4
    before = torch.cat([x[:1, :quarter], x[:-1, :quarter]])
    after = torch.cat([x[1:, quarter : 2 * quarter], x[-1:, quarter : 2 * quarter]])
    return torch.cat([before, after, x[:, 2 * quarter :]], 1)
