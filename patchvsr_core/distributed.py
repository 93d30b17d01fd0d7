"""One clip on several processes: who does what, and how results come together.

Every process holds the canvas and does its share of the patches, tiles and frames of each stage. A stage finds the
processes with :func:`current_group` and its own share of some work with :func:`sharded`; :data:`SINGLE`, one process,
leaves everything as it is. :mod:`cli.torchrun` makes a group of what torchrun started, and
:func:`hosts.diffusers.pipeline.upscale` makes it the current one. Methods have the names of torch.distributed's verbs.

Traffic, in canvases (a canvas is what the latent of the whole clip takes): one sum per model call
(one per condition with guidance; 174 MB each for a Wan at 3840x2160 and 81 frames) and one for the
encoded input. In frames of the result: the decoded tiles once, and with a refiner two more times.
Finished frames go to the leader.
"""

from __future__ import annotations

import itertools
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from .errors import PlanError, ProcessGroupError
from .progress import OnDone
from .settings import Settings

Item = TypeVar("Item")

TIMEOUT = timedelta(minutes=30)
"""Longest wait for another process: it may be writing a long chunk, or running a large patch."""
PROCESS_LOST = (
    "Another process of this run ended or was stopped; run the same command again, and it resumes after the last "
    "finished chunk."
)
INDIVISIBLE = ("spatial_attention", "temporal_attention")
"""Settings with which patches attend to one another, which they cannot across processes."""


@dataclass(frozen=True)
class ProcessGroup:
    """Processes that work on one clip, and the rank of this one among them.

    All of them call the same methods in the same order. When another process has ended, a method raises
    :class:`.errors.ProcessGroupError`.
    """

    rank: int = 0
    size: int = 1
    device: torch.device | None = None
    """Where this process works; None: wherever its models are."""
    local_size: int = 1
    """Processes on this machine, which share its main memory."""
    check_peers: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)
    """Called again and again while others are waited for; raises when one of them failed."""

    @property
    def is_leader(self) -> bool:
        """Whether this is rank 0, the only process that writes output and logs."""
        return self.rank == 0

    def shard(self, items: Sequence[Item], offset: int = 0) -> Sequence[Item]:
        """This process's share of some work, dealt in turn.

        Args:
            offset: how much was dealt before, so that the next process in turn gets the first item.
        """
        return items[(self.rank - offset) % self.size :: self.size]

    def done_by_all(self, done: int, total: int) -> int:
        """About how much all processes have done when this one has done so much."""
        return min(done * self.size, total)

    def frame_span(self, frames: int) -> slice:
        """This process's part of the frames of a clip; empty where there are fewer frames than processes."""
        return self._frame_spans(frames)[self.rank]

    def local_frames(self, frames: Tensor) -> Tensor:
        """This process's part of (T, ...) frames that all processes hold, in memory of its own."""
        return frames if self.size == 1 else frames[self.frame_span(len(frames))].clone()

    def broadcast_object(self, make: Callable[[], Item]) -> Item:
        """What the leader makes; the others do not call ``make``. It may be anything that pickle takes."""
        if self.size == 1:
            return make()
        with use_group(SINGLE):  # the leader is on its own there
            made = make() if self.is_leader else None
        return self._broadcast_object(0, made)

    def all_reduce_min(self, value: int) -> int:
        """The smallest value of all processes."""
        if self.size == 1:
            return value
        lowest = torch.tensor([value])
        self._exchange(distributed.all_reduce, lowest, op=distributed.ReduceOp.MIN)
        return int(lowest)

    def all_reduce(self, x: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            self._exchange(distributed.all_reduce, x)
        return x

    def all_reduce_canvases(self, canvases: list[Tensor], like: Tensor) -> list[Tensor]:
        """Sums of float32 tensors shaped as ``like``; a process that had nothing to do gives none."""
        if self.size == 1:
            return canvases
        count = self.broadcast_object(lambda: len(canvases))
        if count == 1 and canvases:
            return [self.all_reduce(canvases[0])]
        stacked = torch.stack(canvases) if canvases else like.new_zeros((count, *like.shape), dtype=torch.float32)
        return list(self.all_reduce(stacked).unbind())

    def broadcast_each(self, items: Sequence[Item], work: Callable[[Item], Tensor]) -> Iterator[Tensor]:
        """The results of all items in order, each made by one process and then given to all."""
        for first in range(0, len(items), self.size):
            turn = items[first : first + self.size]
            own = work(turn[self.rank]) if self.rank < len(turn) else None
            for owner in range(len(turn)):
                yield self._broadcast(owner, own)

    def all_gather(self, part: Tensor, frames: int) -> Tensor:
        """Every process's own part of a clip, put together for all: (frames, ...)."""
        if self.size == 1:
            return part
        whole = part.new_empty((frames, *part.shape[1:]))
        whole[self.frame_span(frames)] = part
        for owner, span in enumerate(self._frame_spans(frames)):
            if span.start < span.stop:
                self._exchange(distributed.broadcast, whole[span], src=owner)
        return whole

    def reduce_scatter(self, frames: Tensor) -> Tensor:
        """This process's part of the sum of (T, ...) frames over all processes; ``frames`` is used up."""
        if self.size == 1:
            return frames
        for owner, span in enumerate(self._frame_spans(len(frames))):
            if span.start < span.stop:
                self._exchange(distributed.reduce, frames[span], dst=owner)
        return self.local_frames(frames)

    def gather(self, part: Tensor, frames: int) -> Tensor:
        """Every process's own part put together in main memory: (frames, ...) for the leader, the others' own parts.

        Frame by frame, so that no process but the leader holds more than its own.
        """
        part = part.cpu()
        if self.size == 1:
            return part
        spans = self._frame_spans(frames)
        whole = part.new_empty((frames, *part.shape[1:])) if self.is_leader else part
        for index in range(spans[0].stop):
            sent = (part[index] if index < len(part) else part.new_empty(part.shape[1:])).contiguous()
            received = [torch.empty_like(sent) for _ in spans] if self.is_leader else None
            self._wait_for(distributed.gather, sent, received, dst=0)
            for span, frame in zip(spans, received or (), strict=False):
                if span.start + index < span.stop:
                    whole[span.start + index] = frame
        return whole

    def _frame_spans(self, frames: int) -> list[slice]:
        """Of every process, the first ones not shorter than the others."""
        edges = [-(-frames * rank // self.size) for rank in range(self.size + 1)]
        return [slice(first, last) for first, last in itertools.pairwise(edges)]

    def _broadcast(self, owner: int, x: Tensor | None) -> Tensor:
        """A tensor of one process."""
        if self.size == 1:
            assert x is not None
            return x
        shape, dtype = self._broadcast_object(owner, (x.shape, x.dtype) if x is not None else ((), None))
        if owner != self.rank or x is None:
            x = torch.empty(shape, dtype=dtype, device=self.device)
        x = x.contiguous()
        self._exchange(distributed.broadcast, x, src=owner)
        return x

    def _broadcast_object(self, owner: int, value: Any) -> Any:
        """A small object of one process; the others' values are ignored."""
        written = pickle.dumps(value) if self.rank == owner else b""
        length = torch.tensor([len(written)])
        self._exchange(distributed.broadcast, length, src=owner)
        text = torch.frombuffer(bytearray(written or int(length)), dtype=torch.uint8)
        self._exchange(distributed.broadcast, text, src=owner)
        return pickle.loads(bytes(text.numpy()))  # written by ourselves, on this or a trusted machine

    def _exchange(self, call: Callable[..., Any], x: Tensor, **options: Any) -> None:
        """One collective on ``x``, in place; through main memory where nothing else carries it."""
        direct = x.device.type == "cpu" or (x.is_cuda and distributed.is_nccl_available())
        carried = x if direct else x.cpu()
        self._wait_for(call, carried, **options)
        if not direct:
            x.copy_(carried)

    def _wait_for(self, call: Callable[..., Any], *tensors: Any, **options: Any) -> None:
        """Run a collective to its end; signals and failures of other processes interrupt the wait."""
        pause = 1e-4
        try:
            work = call(*tensors, **options, async_op=True)
            while not work.is_completed():
                self.check_peers()
                time.sleep(pause)
                pause = min(2 * pause, 0.01)
            work.wait()
        except RuntimeError as error:
            raise ProcessGroupError(PROCESS_LOST) from error


SINGLE = ProcessGroup()
"""One process."""

_current: ContextVar[ProcessGroup] = ContextVar("patchvsr_process_group", default=SINGLE)


def current_group() -> ProcessGroup:
    """The processes that share the stage at work; :data:`SINGLE` outside of :func:`use_group`."""
    return _current.get()


@contextmanager
def use_group(group: ProcessGroup) -> Iterator[None]:
    """Within, every process of ``group`` runs the same stages in the same order, and they divide the work."""
    token = _current.set(group)
    try:
        yield
    finally:
        _current.reset(token)


def sharded(items: Sequence[Item], on_done: OnDone | None = None, *, offset: int = 0) -> Iterator[Item]:
    """This process's share of a stage's work, one item after the other.

    Args:
        on_done: called after each with (about how many all processes have done, of all).
        offset: see :meth:`ProcessGroup.shard`.
    """
    group = current_group()
    for done, item in enumerate(group.shard(items, offset), start=1):
        yield item
        if on_done is not None:
            on_done(group.done_by_all(done, len(items)), len(items))


def check_divisible(settings: Settings, group: ProcessGroup) -> None:
    """Raise when a run needs what several processes cannot do.

    Raises:
        PlanError: naming the option.
    """
    indivisible = [name.replace("_", " ") for name in INDIVISIBLE if getattr(settings, name)]
    if group.size > 1 and indivisible:
        raise PlanError(
            f"With {' and '.join(indivisible)} patches attend to one another and cannot be divided among {group.size} "
            "processes",
            flag="leave it out, or run without torchrun",
        )
