"""A process that torchrun started with others: it joins them, and one of them speaks for all.

The leader prints, every other process is silent. What one of the others fails of it posts where the
leader looks while it waits, and stays until the leader has told the user: torchrun ends all as soon
as one has ended.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from types import FrameType, TracebackType
from typing import Any, TypeVar

import torch
from torch import distributed

from ..devices import usable_device
from ..distributed import ALONE, LOST, TIMEOUT, Team
from ..errors import ModelError, PlanError, TeamError

Answer = TypeVar("Answer")

GIVEN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun says, in the environment."""
READY, FAILED, TOLD = "patchvsr ready", "patchvsr failed", "patchvsr told"
"""In the store that all processes share: how many can work, what one of them failed of, and that the user knows."""
PATIENCE_S = 10.0
"""How long a process that failed waits for the leader to say so."""
LOOK_S = 0.5
"""How often the leader looks whether another failed, while it waits."""


class Crew:
    """The processes of one call; a context around all that the command line does.

    Args:
        rank, size: this process's number, and how many there are.
        store: what all of them read and write; None: there is but one.
    """

    def __init__(self, rank: int = 0, size: int = 1, store: Any = None) -> None:
        self.rank, self.size, self.store = rank, size, store
        self._failed = False
        self._looked = 0.0
        self._open = ExitStack()

    def __enter__(self) -> Crew:
        if self.rank:
            nowhere = self._open.enter_context(open(os.devnull, "w", encoding="utf-8"))
            self._open.enter_context(redirect_stdout(nowhere))
            self._open.enter_context(redirect_stderr(nowhere))
        return self

    def team(self, device: str) -> Team:
        """Join the others, each on a device of its own.

        Args:
            device: as the user named it; ``cuda`` and ``auto`` give every process a GPU of its own.

        Raises:
            ModelError, PlanError: when there is none, or this torch cannot do it.
        """
        if self.size == 1:
            return ALONE
        if not distributed.is_available():
            raise ModelError("This torch was built for one process only; run without torchrun.")
        here = int(os.environ.get("LOCAL_RANK", self.rank))
        where = own_device(device, here)
        if where.type == "cuda":
            torch.cuda.set_device(where)
        self._wait_for_all()
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if where.type == "cuda" and distributed.is_nccl_available() else "gloo",
            store=self.store,
            rank=self.rank,
            world_size=self.size,
            timeout=TIMEOUT,
        )
        together = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))
        return Team(self.rank, self.size, where, together, self._watch)

    def say(self, sentence: str) -> None:
        """Tell the user why the run ends, once for all processes."""
        self._failed = True
        if self.size > 1:  # torchrun sends more of them when any of us ends
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.rank == 0:
            print(self._posted() or sentence, file=sys.stderr)
            self._ask(lambda store: store.set(TOLD, "1"))
        elif LOST not in sentence:  # the leader finds that out by itself
            self._post(sentence)

    def stop(self, number: int, frame: FrameType | None) -> None:
        """On SIGTERM, which torchrun sends to all when one ended: clean up as after Ctrl+C."""
        raise KeyboardInterrupt if self.size == 1 else TeamError(LOST)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._open:
            if self.size > 1 and kind is None and not self._failed:
                _part()
            elif kind is not None and self.rank == 0:
                self._ask(lambda store: store.set(TOLD, "1"))
            elif kind is SystemExit:
                self._wait_until_told()
            elif kind is not None:
                self._post(f"patchvsr: Process {self.rank} failed ({kind.__name__}: {error}).")  # its report follows

    def _watch(self) -> None:
        if self.rank == 0 and time.monotonic() - self._looked > LOOK_S:
            self._looked = time.monotonic()
            if self._posted():
                raise TeamError(LOST)

    def _wait_for_all(self) -> None:
        """Joining cannot be interrupted; so nobody joins before all have what they need."""
        try:
            self.store.add(READY, 1)
            while self.store.add(READY, 0) < self.size:
                self._watch()
                time.sleep(0.02)
        except RuntimeError as error:
            raise TeamError(LOST) from error

    def _posted(self) -> str | None:
        """What another process failed of."""
        return self._ask(lambda store: store.get(FAILED).decode() if store.check([FAILED]) else None)

    def _post(self, sentence: str) -> None:
        self._ask(lambda store: store.compare_set(FAILED, "", sentence))  # the first one's reason is the others' too
        self._wait_until_told()

    def _wait_until_told(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self._ask(lambda store: store.check([TOLD])) is False:
            time.sleep(0.05)

    def _ask(self, ask: Callable[[Any], Answer]) -> Answer | None:
        """The store; None when there is none, or whoever keeps it has ended."""
        with suppress(RuntimeError):
            return ask(self.store) if self.store is not None else None
        return None


def launched() -> Crew:
    """This process among those that torchrun started, or alone."""
    if any(name not in os.environ for name in GIVEN) or os.environ["WORLD_SIZE"] == "1":
        return Crew()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if not distributed.is_available():
        return Crew(rank, size)
    store, rank, size = next(distributed.rendezvous("env://", timeout=TIMEOUT))  # type: ignore[attr-defined]
    return Crew(rank, size, store)


def own_device(name: str, place: int) -> torch.device:
    """The device of one of several processes on a machine.

    Args:
        name: as the user named it.
        place: number of the process on its machine.

    Raises:
        PlanError: when it is one GPU for all.
        ModelError: when there is none for this process, or it is not usable.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda:"):
        raise PlanError(
            f"Device {name} is one GPU, and every process needs its own; choose --device cuda, and the GPUs themselves "
            "with CUDA_VISIBLE_DEVICES."
        )
    count = torch.cuda.device_count()
    if name == "cuda" and 0 < count <= place:
        raise ModelError(
            f"Process {place + 1} of this machine finds no GPU of its own, there are {count}; start torchrun with "
            f"--nproc-per-node {count}, or choose --device cpu."
        )
    return usable_device(f"cuda:{place}" if name == "cuda" else name)


def _part() -> None:
    """Leave the others after work that is done."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
