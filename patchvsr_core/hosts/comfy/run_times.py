"""How fast this machine was: seconds of real runs, remembered in a small file of ComfyUI's user folder.

Nodes show them before the next run. Nothing here may get in the way of a run: what cannot be read or
written is said once in the log, and forgotten.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.model_management
import folder_paths
import torch
from torch import Tensor

from ...adapter import BaseSpec
from ...devices import synchronise
from ...plan.canvas import PatchPlan
from ...run.forecast import Throughput, family_of
from ...run.memory import tokens_of

log = logging.getLogger(__name__)

FILE = "patchvsr_times.json"
CHANGE = 0.1
"""A figure is written again when it has changed by this part."""

Figures = dict[str, dict[str, float]]
"""Seconds by device and what was done; what was measured last comes last."""


class _Memory:
    """The figures, read once and written when they change."""

    def __init__(self) -> None:
        self.figures: Figures | None = None
        self.path: Path | None = None
        self.lock = threading.Lock()

    def recalled(self, device: str) -> dict[str, float]:
        with self.lock:
            return dict(self._all().get(device, {}))

    def note(self, device: str, key: str, seconds: float) -> None:
        """Warming up made the first run slow: a faster one replaces it, a slower one counts half."""
        with self.lock:
            figures = self._all().setdefault(device, {})
            before = figures.pop(key, None)
            now = seconds if before is None or seconds < before else (before + seconds) / 2
            figures[key] = now
            if before is None or abs(now - before) > CHANGE * before:
                self._write()

    def _all(self) -> Figures:
        path = Path(folder_paths.get_user_directory()) / FILE
        if self.figures is None or path != self.path:
            self.figures, self.path = _read(path), path
        return self.figures

    def _write(self) -> None:
        assert self.path is not None
        part = self.path.with_suffix(".part")
        try:
            part.write_text(json.dumps(self.figures, indent=1))
            part.replace(self.path)
        except OSError as error:
            log.info("PatchVSR: how fast this machine is was not written down (%s)", error)


def _read(path: Path) -> Figures:
    try:
        found = json.loads(path.read_text())
        return {device: {key: float(seconds) for key, seconds in by.items()} for device, by in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.info("PatchVSR: %s cannot be read and is begun anew (%s)", path.name, error)
        return {}


_memory = _Memory()


def throughput_of(family: str) -> Throughput:
    """What earlier runs on this device say about a family; of its sizes, the one that ran last counts."""
    figures = _memory.recalled(_device())
    models = [key.split("|")[1] for key in figures if key.startswith("patch|") and key.split("|")[1].startswith(family)]
    model = next((model for model in reversed(models) if model.split(" ")[0] == family), None)
    patches = {int(key.split("|")[2]): each for key, each in figures.items() if key.startswith(f"patch|{model}|")}
    stages = {}
    for key, each in figures.items():
        kind, stage, *of = key.split("|")
        if kind == "stage" and of in ([], [family]):
            stages[stage] = each
    return Throughput(patches, stages)


def note_patches(spec: BaseSpec, plan: PatchPlan, evaluations: int, seconds: float) -> None:
    """Remember what the base took for so many patches, each with one prompt."""
    if evaluations:
        model = f"{family_of(spec.channels)} {spec.width}x{spec.layers}"
        _note(f"patch|{model}|{tokens_of(plan)}", seconds / evaluations)


@contextmanager
def timed_stage(stage: str, frames: int, size: tuple[int, int], channels: int | None = None) -> Iterator[None]:
    """Remember what a stage takes, unless it fails.

    Args:
        frames, size: of the result, size as (height, width).
        channels: of the latents, where the stage depends on the codec.
    """
    started = Clock()
    yield
    key = f"stage|{stage}" if channels is None else f"stage|{stage}|{family_of(channels)}"
    _note(key, started.seconds() * 1e6 / (frames * size[0] * size[1]))


class Clock:
    """Runs from its making; waits for a GPU at both ends."""

    def __init__(self) -> None:
        synchronise()
        self.start = time.perf_counter()

    def seconds(self) -> float:
        synchronise()
        return time.perf_counter() - self.start


def shape_of(frames: Tensor) -> dict[str, Any]:
    """(T, H, W, C) frames in the words of :func:`timed_stage`."""
    return {"frames": len(frames), "size": (int(frames.shape[1]), int(frames.shape[2]))}


def _note(key: str, seconds: float) -> None:
    _memory.note(_device(), key, seconds)


def _device() -> str:
    device = torch.device(comfy.model_management.get_torch_device())
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu x{torch.get_num_threads()}" if device.type == "cpu" else device.type
