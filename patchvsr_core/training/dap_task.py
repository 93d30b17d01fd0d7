"""Trains DAP, the online network of real time, on packed footage."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..plan.target_size import SCALE
from ..realtime.dap import DAP, load_dap, save_dap
from ..realtime.upscaler import SHIPPED
from . import losses
from .config import TrainConfig
from .initial_weights import load_part
from .packed import PackedFootage, pack_footage
from .packed_crops import begin_batch, draw_crop
from .realtime import realtime_task
from .registry import register

FILE = SHIPPED["dap"]


@dataclass(frozen=True, eq=False)
class StreamBatch:
    """N crops of clips of T frames, as they come in."""

    truth: Tensor
    """(N, T, 3, 4 h, 4 w) in [0, 1]."""
    clip: Tensor
    """(N, T, 3, h, w) in [0, 1]."""


class StreamBatches(Dataset[StreamBatch]):
    """Crops of packed footage; see :func:`packed_crops.begin_batch`."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        self.footage, self.config = PackedFootage(folder, config.data), config

    def __getitem__(self, index: int) -> StreamBatch:
        rng, frames, side, count = begin_batch(self.config, index)
        crops = [draw_crop(rng, self.footage, frames, side, SCALE) for _ in range(count)]
        pairs = ([crop.large for crop in crops], [crop.small for crop in crops])
        truth, clip = (torch.stack(part).movedim(-1, 2).contiguous() for part in pairs)
        return StreamBatch(truth, clip)


class DAPTask(nn.Module):
    """The network and its loss."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.network = DAP(config.section("dap")).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, batch: StreamBatch, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, its readable parts) of one batch."""
        objective = self.config.objective
        made = self.network(batch.clip).float()
        terms = {"result": losses.charbonnier(made, batch.truth, objective.charbonnier_eps)}
        spectrum = losses.spectrum(made.movedim(2, -1), batch.truth.movedim(2, -1))
        loss = terms["result"] + objective.spectrum_weight * spectrum
        if objective.align_weight and self.network.config.offsets:
            last = batch.clip[:, -2:]
            terms["aligned"] = losses.charbonnier(self.network.align(last), last[:, 1:])
            loss = loss + objective.align_weight * terms["aligned"]
        return loss, terms

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """All learn alike."""
        return [{"params": list(self.network.parameters()), "peak": self.config.learning_rate, "from": 0}]

    @torch.no_grad()
    def initialise(self, batches: Any) -> None:
        """A new network adds little to bicubic."""
        self.network.picture.weight.mul_(0.1)

    def load_weights(self, folder: Path) -> None:
        """Start from an exported network.

        Raises:
            ModelError: when there is none, or it has other sizes than the configuration.
        """
        load_part(self, "network", load_dap(folder / FILE), folder)


def _precompute(config: TrainConfig, options: Namespace) -> None:
    pack_footage(options.data, options.out, config.data)


register(realtime_task("dap", DAPTask, StreamBatches, _precompute, save_dap))
