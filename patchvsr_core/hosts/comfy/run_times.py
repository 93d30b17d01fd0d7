"""Times of real runs in ComfyUI, kept in its user folder by :mod:`run.times`; nodes show them before the next run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import comfy.model_management
import folder_paths
import torch
from torch import Tensor

from ...devices import synchronise
from ...plan.canvas import PatchPlan
from ...run.guess import device_speed
from ...run.throughput import Throughput, tokens_of
from ...run.times import RunTimes, patch_kind, stage_kind, throughput
from .loading import family_of, measured_sizes, sizes_of

FILE = "patchvsr_times.json"


def throughput_of(family: str) -> Throughput:
    """How fast this device was in earlier runs of a family."""
    return throughput(_times().typical(_device()), family)


def guessed_speed() -> float:
    """Operations per second that this device may reach, for a first guess."""
    return device_speed(torch.device(comfy.model_management.get_torch_device()))


class PatchTimer:
    """Keeps what the base took for so many patches, each with one prompt.

    What it needs to know is found when it is made, before sampling; :meth:`note` cannot fail.
    """

    def __init__(self, model: Any, plan: PatchPlan) -> None:
        self._kind = patch_kind(family_of(model), sizes_of(model) or measured_sizes(model), tokens_of(plan))
        self._device, self._kept = _device(), _times()

    def note(self, evaluations: int, seconds: float) -> None:
        """Nothing is kept of a run that evaluated nothing."""
        if evaluations:
            self._kept.add(self._device, self._kind, seconds / evaluations)


@contextmanager
def timed_stage(stage: str, frames: int, size: tuple[int, int], family: str | None = None) -> Iterator[None]:
    """Keep what a stage takes, unless it fails.

    Args:
        frames, size: of the result, size as (height, width).
        family: where the stage depends on the codec.
    """
    started = Clock()
    yield
    _note(stage_kind(stage, family), started.seconds() * 1e6 / (frames * size[0] * size[1]))


class Clock:
    """Runs from its making; waits for a GPU at both ends."""

    def __init__(self) -> None:
        synchronise()
        self.start = time.perf_counter()

    def seconds(self) -> float:
        synchronise()
        return time.perf_counter() - self.start


def shape_of(frames: Tensor) -> dict[str, Any]:
    """(T, H, W, C) frames as arguments of :func:`timed_stage`."""
    return {"frames": len(frames), "size": (int(frames.shape[1]), int(frames.shape[2]))}


def _note(kind: str, seconds: float) -> None:
    _times().add(_device(), kind, seconds)


def _times() -> RunTimes:
    return _open(Path(folder_paths.get_user_directory()) / FILE)


@lru_cache(maxsize=1)
def _open(path: Path) -> RunTimes:
    return RunTimes(path)


def _device() -> str:
    device = torch.device(comfy.model_management.get_torch_device())
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu x{torch.get_num_threads()}" if device.type == "cpu" else device.type
