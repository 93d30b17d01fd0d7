"""One clip on several processes: who does what, and how results come together.

Every process holds the canvas and does its share of the patches, tiles and frames of each stage.
Stages are told of it by a :class:`Team`; :data:`ALONE`, one process, leaves everything as it is.
:mod:`cli.torchrun` makes a team of what torchrun started.

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
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from .errors import PlanError, TeamError
from .settings import Settings

Item = TypeVar("Item")

TIMEOUT = timedelta(minutes=30)
"""Longest wait for another process: it may be writing a long chunk, or running a large patch."""
LOST = (
    "Another process of this run ended or was stopped; call the same command again, and it goes on from the last "
    "finished chunk."
)
UNDIVIDED = ("spatial_attention", "temporal_attention")
"""Settings that make patches look at one another, which they cannot when they are on several processes."""


@dataclass(frozen=True)
class Team:
    """Processes that work on one clip, and the place of this one among them.

    All of them call the same methods in the same order. A method that hears of a process that
    ended raises :class:`.errors.TeamError`.
    """

    rank: int = 0
    size: int = 1
    device: torch.device | None = None
    """Where this process works; None: wherever its models are."""
    together: int = 1
    """Processes on this machine, which share its main memory."""
    watch: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)
    """Called again and again while others are waited for; raises what one of them failed of."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes files and speaks to the user."""
        return self.rank == 0

    def mine(self, items: Sequence[Item], after: int = 0) -> Sequence[Item]:
        """This process's share of some work, dealt in turn.

        Args:
            after: how much was dealt before, so that the next in turn gets the first.
        """
        return items[(self.rank - after) % self.size :: self.size]

    def reached(self, done: int, total: int) -> int:
        """How much all have done when this process has done so much."""
        return min(done * self.size, total)

    def part(self, frames: int) -> slice:
        """The frames of a clip that are this process's; none, where there are fewer than processes."""
        return self._parts(frames)[self.rank]

    def agreed(self, make: Callable[[], Item]) -> Item:
        """What the leader makes; the others do not call ``make``."""
        return make() if self.size == 1 else self._told(0, make)

    def least(self, value: int) -> int:
        """The smallest value of all processes."""
        if self.size == 1:
            return value
        lowest = torch.tensor([value])
        self._exchange(distributed.all_reduce, lowest, op=distributed.ReduceOp.MIN)
        return int(lowest)

    def total(self, x: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            self._exchange(distributed.all_reduce, x)
        return x

    def totals(self, parts: list[Tensor], like: Tensor) -> list[Tensor]:
        """Sums of float32 tensors shaped as ``like``; a process that had nothing to do has none."""
        if self.size == 1:
            return parts
        count = self.agreed(lambda: len(parts))
        if count == 1 and parts:
            return [self.total(parts[0])]
        stacked = torch.stack(parts) if parts else like.new_zeros((count, *like.shape), dtype=torch.float32)
        return list(self.total(stacked).unbind())

    def each(self, items: Sequence[Item], work: Callable[[Item], Tensor]) -> Iterator[Tensor]:
        """The results of all items in order, each worked on by one process and then known to all."""
        for first in range(0, len(items), self.size):
            turn = items[first : first + self.size]
            own = work(turn[self.rank]) if self.rank < len(turn) else None
            for owner in range(len(turn)):
                yield self._given(owner, own)

    def own(self, frames: Tensor) -> Tensor:
        """This process's part of (T, ...) frames that are known to all, without the others."""
        return frames if self.size == 1 else frames[self.part(len(frames))].clone()

    def shared(self, part: Tensor, frames: int) -> Tensor:
        """Every process's own part, put together for all: (frames, ...)."""
        if self.size == 1:
            return part
        whole = part.new_empty((frames, *part.shape[1:]))
        whole[self.part(frames)] = part
        for owner, span in enumerate(self._parts(frames)):
            if span.start < span.stop:
                self._exchange(distributed.broadcast, whole[span], src=owner)
        return whole

    def own_total(self, frames: Tensor) -> Tensor:
        """Of the sum of (T, ...) frames over all processes this one's part; what was given is used up."""
        if self.size == 1:
            return frames
        for owner, span in enumerate(self._parts(len(frames))):
            if span.start < span.stop:
                self._exchange(distributed.reduce, frames[span], dst=owner)
        return self.own(frames)

    def collected(self, part: Tensor, frames: int) -> Tensor:
        """Every process's own part put together in main memory: (frames, ...) for the leader, the others' own parts.

        Frame by frame, so that nobody but the leader holds more than its own.
        """
        part = part.cpu()
        if self.size == 1:
            return part
        parts = self._parts(frames)
        whole = part.new_empty((frames, *part.shape[1:])) if self.leads else part
        for place in range(parts[0].stop):
            sent = (part[place] if place < len(part) else part.new_empty(part.shape[1:])).contiguous()
            found = [torch.empty_like(sent) for _ in parts] if self.leads else None
            self._finished(distributed.gather, sent, found, dst=0)
            for span, frame in zip(parts, found or (), strict=False):
                if span.start + place < span.stop:
                    whole[span.start + place] = frame
        return whole

    def _parts(self, frames: int) -> list[slice]:
        """Of every process, the first ones not shorter than the others."""
        edges = [-(-frames * rank // self.size) for rank in range(self.size + 1)]
        return [slice(first, last) for first, last in itertools.pairwise(edges)]

    def _given(self, owner: int, x: Tensor | None) -> Tensor:
        """A tensor of one process."""
        if self.size == 1:
            assert x is not None
            return x
        shape, dtype = self._told(owner, lambda: (x.shape, x.dtype) if x is not None else None) or ((), None)
        if owner != self.rank or x is None:
            x = torch.empty(shape, dtype=dtype, device=self.device)
        x = x.contiguous()
        self._exchange(distributed.broadcast, x, src=owner)
        return x

    def _told(self, teller: int, make: Callable[[], Item]) -> Item:
        """Something small of one process."""
        written = pickle.dumps(make()) if self.rank == teller else b""
        length = torch.tensor([len(written)])
        self._exchange(distributed.broadcast, length, src=teller)
        text = torch.frombuffer(bytearray(written or int(length)), dtype=torch.uint8)
        self._exchange(distributed.broadcast, text, src=teller)
        return pickle.loads(bytes(text.numpy()))  # written by ourselves, on this or a trusted machine

    def _exchange(self, call: Callable[..., Any], x: Tensor, **options: Any) -> None:
        """One collective on ``x``, in place; through main memory where nothing else carries it."""
        direct = x.device.type == "cpu" or (x.is_cuda and distributed.is_nccl_available())
        carried = x if direct else x.cpu()
        self._finished(call, carried, **options)
        if not direct:
            x.copy_(carried)

    def _finished(self, call: Callable[..., Any], *tensors: Any, **options: Any) -> None:
        """Waited for with open ears: for signals, and for others that failed."""
        pause = 1e-4
        try:
            work = call(*tensors, **options, async_op=True)
            while not work.is_completed():
                self.watch()
                time.sleep(pause)
                pause = min(2 * pause, 0.01)
            work.wait()
        except RuntimeError as error:
            raise TeamError(LOST) from error


ALONE = Team()
"""One process."""


def check_divisible(settings: Settings, team: Team) -> None:
    """Raise when a run needs what several processes cannot do.

    Raises:
        PlanError: naming the option.
    """
    undivided = [name.replace("_", " ") for name in UNDIVIDED if getattr(settings, name)]
    if team.size > 1 and undivided:
        raise PlanError(
            f"With {' and '.join(undivided)} patches look at one another and cannot be divided among {team.size} "
            "processes; leave it out, or run without torchrun."
        )
