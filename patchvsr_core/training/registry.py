"""The kinds of networks that can be trained; each task module registers its own.

The task called ``name`` is in the module ``name_task`` beside this one, which is imported when a
configuration asks for it: a new network is one module and one TOML file with ``task = "name"``.
"""

from __future__ import annotations

import importlib
import pkgutil
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from ..errors import PatchVSRError
from .config import TrainConfig

SUFFIX = "_task"
Score = Callable[[Path], dict[str, float]]
"""Scores the network as it is: writes a contact sheet (PNG) to a path and returns decibels by name."""


@dataclass(frozen=True, eq=False)
class Run:
    """What the trainer needs to run."""

    task: Any
    """An ``nn.Module`` that is a :class:`trainer.Task`."""
    batches: Dataset[Any]
    """Batch number k is a function of the seed and k alone."""


@dataclass(frozen=True, eq=False)
class TrainingTask:
    """How one kind of network is trained; ``options`` are those of the command line."""

    name: str
    """What a configuration gives as its ``task``."""
    make_run: Callable[[TrainConfig, Namespace], Run]
    """Network and data of a run. Seeds the network's initial weights."""
    export: Callable[[TrainConfig, dict[str, Tensor], Path, Path | None], None]
    """Writes averaged weights to a folder, or to a file where ``weights_file`` names one; given the base's path too."""
    precompute: Callable[[TrainConfig, Namespace], None] | None = None
    """Turns footage into what is trained on; None: training reads footage itself."""
    make_score: Callable[[Any, TrainConfig, Namespace], Score | None] | None = None
    """From the task of a run, for ``--validate``; None: nothing is validated."""
    weights_file: str = ""
    """Name of the one file that is exported; empty: ``export`` names its files itself."""


_TASKS: dict[str, TrainingTask] = {}


def register(task: TrainingTask) -> TrainingTask:
    """Make a task known by its name."""
    _TASKS[task.name] = task
    return task


def find_task(name: str) -> TrainingTask:
    """The task of a name.

    Raises:
        PatchVSRError: when there is none.
    """
    if name not in _TASKS and name in task_names():
        importlib.import_module(f".{name}{SUFFIX}", __package__)
    if name not in _TASKS:
        raise PatchVSRError(f"There is no training task {name!r}; choose from {', '.join(task_names())}.")
    return _TASKS[name]


def task_names() -> list[str]:
    """Names of all tasks, in the order of the alphabet; imports none of them."""
    modules = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted({*_TASKS, *(name.removesuffix(SUFFIX) for name in modules if name.endswith(SUFFIX))})
