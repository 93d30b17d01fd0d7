"""The training loop: any task, saved and resumed exactly."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import cv2
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ..errors import PatchVSRError
from .batches import move_batch
from .config import TrainConfig
from .discriminator import PREFIX, without_discriminator
from .muon import Muon
from .state import read_state

FLOOR = 0.01
"""Learning rate at the end, relative to the peak."""
SMOOTHING = 0.98


class Task(Protocol):
    """What is trained: a module whose call is the loss and whose state is what is learned."""

    def __call__(self, batch: Any, generator: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss, its readable parts); every random draw comes from ``generator``."""

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters with ``peak`` (learning rate) and ``from`` (first step)."""

    def initialise(self, batches: Any) -> None:
        """Give a new run its start."""

    def load_weights(self, folder: Path) -> None:
        """Start from exported files."""


class Trainer:
    """Runs, saves and resumes; the state on disk is enough to continue exactly.

    Args:
        task: an ``nn.Module`` that is a :class:`Task`.
        batches: batch number k must be a function of k alone.
        out: folder for the state, the log and validation pictures.
        init: the state of another run, whose averaged weights this one starts from; or a folder of exported weights.
        validate: called with the step while the averaged weights are in place.
    """

    def __init__(
        self,
        task: Any,
        batches: Dataset[Any],
        config: TrainConfig,
        out: Path,
        *,
        device: str = "cpu",
        init: Path | None = None,
        validate: Callable[[int], dict[str, float]] | None = None,
    ) -> None:
        set_seed(config.seed)
        self.task, self.batches, self.config, self.out, self.validate = task, batches, config, out, validate
        self.accelerator = Accelerator(
            cpu=device == "cpu",
            mixed_precision="bf16" if config.bfloat16 else "no",
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.step = 0
        out.mkdir(parents=True, exist_ok=True)
        if not self.checkpoint.is_file():
            _load(task, init) if init is not None else task.initialise(batches)
        kind = Muon if config.muon else torch.optim.AdamW
        optimizer = kind(task.optimizer_groups(), betas=(0.9, 0.99), weight_decay=0.01)
        self.model, self.optimizer = self.accelerator.prepare(task, optimizer)
        self.average = {name: value.clone() for name, value in task.state_dict().items()}
        if self.checkpoint.is_file():
            self._resume()

    @property
    def checkpoint(self) -> Path:
        return self.out / "state.pt"

    def run(self, minutes: float = math.inf) -> None:
        """Train until the last step, for so many minutes, or until SIGTERM; then save."""
        end = time.monotonic() + minutes * 60
        stopping = threading.Event()
        previous = signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
        smooth: dict[str, float] = {}
        with _opencv_in_one_thread():
            batches = iter(self._loader())
        try:
            with tqdm(initial=self.step, total=self.config.steps, unit="step", mininterval=10) as bar:
                while self.step < self.config.steps:
                    for name, value in self._train_step(batches).items():
                        smooth[name] = SMOOTHING * smooth.get(name, value) + (1 - SMOOTHING) * value
                    self.step += 1
                    bar.update()
                    bar.set_postfix({name: f"{value:.5f}" for name, value in smooth.items()}, refresh=False)
                    if self.step % self.config.save_every == 0:
                        self.save()
                    if self.step % self.config.validate_every == 0:
                        self.validate_and_log(smooth)
                    if stopping.is_set() or time.monotonic() > end:
                        break
        finally:
            signal.signal(signal.SIGTERM, previous)
        self.save()

    def save(self) -> None:
        """Write the full state, atomically."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "step": self.step,
            "model": self.task.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        partial = self.checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def validate_and_log(self, terms: dict[str, float]) -> None:
        """Validate with the averaged weights, and add a line to the log."""
        if not self.accelerator.is_main_process:
            return
        line = {"step": self.step, **terms}
        if self.validate is not None:
            current = {name: value.clone() for name, value in self.task.state_dict().items()}
            self.task.load_state_dict(self.average)
            try:
                line |= self.validate(self.step)
            finally:
                self.task.load_state_dict(current)
        with (self.out / "log.jsonl").open("a") as log:
            log.write(json.dumps({name: round(value, 6) for name, value in line.items()}) + "\n")

    def _loader(self) -> DataLoader[Any]:
        first, last = (step * self.config.accumulate for step in (self.step, self.config.steps))
        indices = [self._number(k) for k in range(first, last)]
        return DataLoader(
            self.batches,
            batch_size=None,
            sampler=indices,
            num_workers=1,
            prefetch_factor=2,
            worker_init_fn=_outlive_signals,
        )

    def _number(self, k: int) -> int:
        """Of this process's batch ``k``, over all processes."""
        return k * self.accelerator.num_processes + self.accelerator.process_index

    def _train_step(self, batches: Any) -> dict[str, float]:
        self._set_learning_rates()
        self.optimizer.zero_grad()
        sums: dict[str, float] = {}
        for part in range(self.config.accumulate):
            number = self._number(self.step * self.config.accumulate + part)
            generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + number)
            batch = move_batch(next(batches), self.accelerator.device)
            loss, terms = self.model(batch, generator, self.step)
            self.accelerator.backward(loss / self.config.accumulate)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.item() / self.config.accumulate
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_gradients)
        if norm is not None and not norm.isfinite():
            return sums  # the same in every process, as gradients are shared; one bad batch must not end a run
        self.optimizer.step()
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.task.state_dict().items():
            self.average[name].lerp_(value.to(self.average[name]), 1 - decay)
        return sums

    def _set_learning_rates(self) -> None:
        """Each part warms up when it joins; one cosine over the whole run."""
        cosine = FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * self.step / self.config.steps))
        for group in self.optimizer.param_groups:
            warm = min(1.0, (self.step + 1 - group["from"]) / self.config.warmup)
            group["lr"] = group["peak"] * max(warm, 0.0) * cosine

    def _resume(self) -> None:
        state = read_state(self.checkpoint, self.accelerator.device)
        self.task.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step = state["average"], state["step"]


def _load(task: Any, init: Path) -> None:
    if init.is_dir():
        task.load_weights(init)
        return
    if not init.is_file():
        raise PatchVSRError(f"There is no training state at {init}; give the state.pt of an earlier run.")
    task.load_state_dict(_with_own_discriminator(task.state_dict(), read_state(init)["average"]))


def _with_own_discriminator(own: dict[str, Tensor], read: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a task loads of another run's weights: a discriminator may be new, or no longer needed."""
    judging = {name: read.get(name, value) for name, value in own.items() if name.startswith(PREFIX)}
    return judging | without_discriminator(read)


@contextmanager
def _opencv_in_one_thread() -> Iterator[None]:
    """For the start of workers: a process that is forked while OpenCV's threads are busy may wait for them forever."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _outlive_signals(worker: int) -> None:
    """A signal to the whole process group ends the loop, which then saves; its workers must last until then."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
