"""Steps of a stream replayed as CUDA graphs: a frame costs one launch, however many layers there are.

A graph reads and writes memory that stays where it is. Inputs are copied into it, the state of the
stream lives in it, and results are copied out. Source of the procedure: PyTorch's notes on CUDA
graphs (warm-up on a side stream, then capture into a pool of memory).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger("patchvsr")

Step = Callable[[Any, Any], tuple[Tensor, Any]]
"""(inputs, state or None) -> (frame, state), as the networks' ``step``."""
Work = Callable[[], Any]
Capture = Callable[[Work, Any], tuple[Any, Callable[[], None]]]
"""(work, pool) -> (what it answered, a replay that brings that up to date)."""
WARM_UP = 3
"""Steps before a capture, so that libraries have chosen their kernels."""


def cuda_capture(work: Work, pool: Any) -> tuple[Any, Callable[[], None]]:
    """Record ``work`` on the device of the moment.

    Raises:
        RuntimeError: when it does what a graph cannot, or memory is short.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        answer = work()
    return answer, graph.replay


@dataclass
class _Recorded:
    """Graphs and memory for inputs of one shape."""

    inputs: Any
    state: Any
    first: tuple[Any, Callable[[], None]]
    following: tuple[Any, Callable[[], None]]


class GraphedStep:
    """A step of one stream, replayed wherever that works, and called as it is elsewhere.

    Frames are the caller's own. The state is not: what a call answers is overwritten by the next one. Give it back as
    it is, or None to begin a shot; two streams need two of these.

    Args:
        step: reads no value of a tensor on the processor, and does nothing on the way but compute.
        capture: None for CUDA graphs, where the inputs are on such a device.
    """

    def __init__(self, step: Step, capture: Capture | None = None) -> None:
        self.step = step
        self._capture = capture
        self._recorded: _Recorded | None = None
        self._failed = False

    def __call__(self, inputs: Any, state: Any) -> tuple[Tensor, Any]:
        """As the step itself."""
        on_cuda = tree_leaves(inputs)[0].is_cuda
        if self._failed or not (on_cuda or self._capture):
            return self.step(inputs, state)
        with torch.inference_mode(False), torch.no_grad():  # memory made here is written again from anywhere
            if self._recorded is None or _shapes(self._recorded.inputs) != _shapes(inputs):
                self._recorded = None  # gives its memory back before more is taken
                try:
                    self._recorded = self._record(inputs)
                except RuntimeError as error:
                    self._failed = True
                    reason = str(error).partition("\n")[0]
                    log.warning("No CUDA graph for this network, it runs without, a little slower: %s", reason)
                    return self.step(inputs, state)
            return self._replay(self._recorded, inputs, state)

    def _record(self, inputs: Any) -> _Recorded:
        inputs = tree_map(torch.clone, inputs)
        device = tree_leaves(inputs)[0].device
        capture = self._capture or cuda_capture
        if self._capture is not None:
            _, state = self.step(inputs, None)
            state, pool = tree_map(torch.clone, state), None
        else:
            state, pool = _warm_up(self.step, inputs, device), torch.cuda.graph_pool_handle()

        def work(before: Any) -> Tensor:
            frame, after = self.step(inputs, before)
            copy_tree(after, state)
            return frame

        return _Recorded(inputs, state, capture(lambda: work(None), pool), capture(lambda: work(state), pool))

    def _replay(self, recorded: _Recorded, inputs: Any, state: Any) -> tuple[Tensor, Any]:
        copy_tree(inputs, recorded.inputs)
        if state is not None and state is not recorded.state:
            copy_tree(state, recorded.state)
        frame, replay = recorded.first if state is None else recorded.following
        replay()
        return frame.clone(), recorded.state


def _warm_up(step: Step, inputs: Any, device: torch.device) -> Any:
    """Run both kinds of step beside the work of others; the state they leave, in memory of its own."""
    here, aside = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        state = None
        for _ in range(WARM_UP):
            _, state = step(inputs, None)
            _, state = step(inputs, state)
        state = tree_map(torch.clone, state)
    here.wait_stream(aside)
    return state


def tree_map(change: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same mappings, sequences and dataclasses with other tensors."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, Mapping):
        return {name: tree_map(change, part) for name, part in tree.items()}
    if is_dataclass(tree) and not isinstance(tree, type):
        return type(tree)(**{field.name: tree_map(change, getattr(tree, field.name)) for field in fields(tree)})
    return type(tree)(tree_map(change, part) for part in tree)


def tree_leaves(tree: Any) -> list[Tensor]:
    """All tensors of it, in order."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    tree_map(keep, tree)
    return found


def copy_tree(source: Any, target: Any) -> None:
    """Write all tensors of one tree over those of another."""
    for one, other in zip(tree_leaves(source), tree_leaves(target), strict=True):
        other.copy_(one, non_blocking=True)


def _shapes(tree: Any) -> list[tuple[Any, ...]]:
    return [(tuple(tensor.shape), tensor.dtype, tensor.device) for tensor in tree_leaves(tree)]
