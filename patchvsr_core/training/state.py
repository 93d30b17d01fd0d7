"""The state of a run on disk, ``state.pt``: step, weights, their average, and the optimizer's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files import read_pickle

RENAMED = {"critic": "discriminator"}
"""Modules in states of earlier versions, and what they are called now."""


def read_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """A state as it was written, its tensors under their names of today."""
    where = "cpu" if torch.device(device).type == "cpu" else device  # several processes number the CPU, cpu:0
    state = _move(read_pickle(path), where)
    return {**state, **{part: _rename(state[part]) for part in ("model", "average") if part in state}}


def _move(value: Any, where: torch.device | str) -> Any:
    """All tensors of a state on a device."""
    if isinstance(value, Tensor):
        return value.to(where)
    if isinstance(value, dict):
        return {name: _move(part, where) for name, part in value.items()}
    return type(value)(_move(part, where) for part in value) if isinstance(value, (list, tuple)) else value


def _rename(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {".".join(RENAMED.get(part, part) for part in name.split(".")): value for name, value in tensors.items()}
