"""A process that torchrun started with others: it joins them, and only rank 0 writes output and logs.

A process that fails posts the reason to the store that all share, where rank 0 looks while it waits, and stays until
rank 0 has reported it to the user: torchrun ends all processes as soon as one has ended.
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

from ..devices import resolve_device
from ..distributed import PROCESS_LOST, SINGLE, TIMEOUT, ProcessGroup
from ..errors import ModelError, PlanError, ProcessGroupError

Answer = TypeVar("Answer")

ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables that torchrun sets."""
READY, FAILED, REPORTED = "patchvsr ready", "patchvsr failed", "patchvsr reported"
"""Keys of the store that all processes share: how many are ready, why one failed, and that the user has read it."""
REPORT_TIMEOUT_S = 10.0
"""How long a process that failed waits for rank 0 to report it."""
POLL_S = 0.5
"""How often rank 0 looks whether another process failed, while it waits."""


class Launch:
    """The processes of one command; a context around all that the command line does.

    Args:
        rank, size: this process's number, and how many there are.
        store: key-value store that all of them share; None: there is but one process.
    """

    def __init__(self, rank: int = 0, size: int = 1, store: Any = None) -> None:
        self.rank, self.size, self.store = rank, size, store
        self._failed = False
        self._polled = 0.0
        self._open = ExitStack()

    def __enter__(self) -> Launch:
        if self.rank:
            nowhere = self._open.enter_context(open(os.devnull, "w", encoding="utf-8"))
            self._open.enter_context(redirect_stdout(nowhere))
            self._open.enter_context(redirect_stderr(nowhere))
        return self

    def init_process_group(self, device: str) -> ProcessGroup:
        """Join the others, each on a device of its own.

        Args:
            device: as the user named it; ``cuda`` and ``auto`` give every process a GPU of its own.

        Raises:
            ModelError, PlanError: when there is none, or this torch cannot do it.
        """
        if self.size == 1:
            return SINGLE
        if not distributed.is_available():
            raise ModelError("This torch was built for one process only; run without torchrun.")
        where = own_device(device, int(os.environ.get("LOCAL_RANK", self.rank)))
        if where.type == "cuda":
            torch.cuda.set_device(where)
        self._barrier()
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if where.type == "cuda" and distributed.is_nccl_available() else "gloo",
            store=self.store,
            rank=self.rank,
            world_size=self.size,
            timeout=TIMEOUT,
        )
        local_size = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))
        return ProcessGroup(self.rank, self.size, where, local_size, self._check_peers)

    def report_failure(self, sentence: str) -> None:
        """Print why the run ends, once for all processes."""
        self._failed = True
        if self.size > 1:  # torchrun sends more of them when any of us ends
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.rank == 0:
            print(self._peer_failure() or sentence, file=sys.stderr)
            self._query_store(lambda store: store.set(REPORTED, "1"))
        elif PROCESS_LOST not in sentence:  # rank 0 finds that out by itself
            self._post_failure(sentence)

    def handle_sigterm(self, number: int, frame: FrameType | None) -> None:
        """On SIGTERM, which torchrun sends to all when one ended: clean up as after Ctrl+C."""
        raise ProcessGroupError(PROCESS_LOST)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._open:
            if self.size > 1 and kind is None and not self._failed:
                _destroy_process_group()
            elif kind is not None and self.rank == 0:
                self._query_store(lambda store: store.set(REPORTED, "1"))
            elif kind is SystemExit:
                self._wait_until_reported()
            elif kind is not None:
                self._post_failure(
                    f"patchvsr: Process {self.rank} failed ({kind.__name__}: {error})."
                )  # its report follows

    def _check_peers(self) -> None:
        if self.rank == 0 and time.monotonic() - self._polled > POLL_S:
            self._polled = time.monotonic()
            if self._peer_failure():
                raise ProcessGroupError(PROCESS_LOST)

    def _barrier(self) -> None:
        """Joining cannot be interrupted; so nobody joins before all have what they need."""
        try:
            self.store.add(READY, 1)
            while self.store.add(READY, 0) < self.size:
                self._check_peers()
                time.sleep(0.02)
        except RuntimeError as error:
            raise ProcessGroupError(PROCESS_LOST) from error

    def _peer_failure(self) -> str | None:
        """Why another process failed."""
        return self._query_store(lambda store: store.get(FAILED).decode() if store.check([FAILED]) else None)

    def _post_failure(self, sentence: str) -> None:
        self._query_store(
            lambda store: store.compare_set(FAILED, "", sentence)
        )  # the first one's reason is the others' too
        self._wait_until_reported()

    def _wait_until_reported(self) -> None:
        until = time.monotonic() + REPORT_TIMEOUT_S
        while time.monotonic() < until and self._query_store(lambda store: store.check([REPORTED])) is False:
            time.sleep(0.05)

    def _query_store(self, query: Callable[[Any], Answer]) -> Answer | None:
        """What the store answers; None when there is none, or the process that keeps it has ended."""
        with suppress(RuntimeError):
            return query(self.store) if self.store is not None else None
        return None


def join_launch() -> Launch:
    """This process among those that torchrun started, or alone."""
    if any(name not in os.environ for name in ENVIRONMENT) or os.environ["WORLD_SIZE"] == "1":
        return Launch()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if not distributed.is_available():
        return Launch(rank, size)
    store, rank, size = next(distributed.rendezvous("env://", timeout=TIMEOUT))  # type: ignore[attr-defined]
    return Launch(rank, size, store)


def own_device(name: str, local_rank: int) -> torch.device:
    """The device of one of several processes on a machine.

    Args:
        name: as the user named it.
        local_rank: number of the process on its machine.

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
    if name == "cuda" and 0 < count <= local_rank:
        raise ModelError(
            f"Process {local_rank + 1} of this machine finds no GPU of its own, there are {count}; start torchrun with "
            f"--nproc-per-node {count}, or choose --device cpu."
        )
    return resolve_device(f"cuda:{local_rank}" if name == "cuda" else name)


def _destroy_process_group() -> None:
    """Leave the others when the work is done."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
