"""CUDA graphs for the steps of a stream: a frame costs one launch, however many layers the network has.

A graph reads and writes static memory: inputs are copied into it, the recurrent state stays in it, and
results are copied out. Source: PyTorch's notes on CUDA graphs (warm-up on a side stream, then capture
with a private memory pool).
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
"""(work, memory pool) -> (its static result, a replay function that updates it)."""
WARM_UP = 3
"""Steps before capture, so that libraries have chosen their kernels."""


def cuda_capture(work: Work, pool: Any) -> tuple[Any, Callable[[], None]]:
    """Capture ``work`` on the current device.

    Raises:
        RuntimeError: when it cannot be captured, or memory is insufficient.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
        answer = work()
    return answer, graph.replay


@dataclass
class _Recorded:
    """Graphs and static memory for inputs of one shape."""

    inputs: Any
    state: Any
    first: tuple[Any, Callable[[], None]]
    following: tuple[Any, Callable[[], None]]


class GraphedStep:
    """The step of one stream, replayed as a CUDA graph where possible and called directly elsewhere.

    Returned frames belong to the caller. The returned state does not: the next call overwrites it. Pass it back
    unchanged, or None to begin a shot. Use one instance per stream.

    Args:
        step: must not synchronise with the CPU, and must not have side effects.
        capture: replaces CUDA capture; None for CUDA graphs where the inputs are on a CUDA device.
    """

    def __init__(self, step: Step, capture: Capture | None = None) -> None:
        self.step = step
        self._capture = capture
        self._recorded: _Recorded | None = None
        self._failed = False

    def __call__(self, inputs: Any, state: Any) -> tuple[Tensor, Any]:
        """Run the step, see :data:`Step`."""
        on_cuda = tree_leaves(inputs)[0].is_cuda
        if self._failed or not (on_cuda or self._capture):
            return self.step(inputs, state)
        with torch.inference_mode(False), torch.no_grad():  # static memory must be writable in any mode
            if self._recorded is None or _shapes(self._recorded.inputs) != _shapes(inputs):
                self._recorded = None  # frees its memory before more is allocated
                try:
                    self._recorded = self._record(inputs)
                except RuntimeError as error:
                    self._failed = True
                    reason = str(error).partition("\n")[0]
                    log.warning(
                        "This network cannot be captured as a CUDA graph and runs without, slightly slower: %s", reason
                    )
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
    """Run both kinds of step on a side stream; returns a copy of their state."""
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
    """Apply a function to all tensors of nested mappings, sequences and dataclasses."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, Mapping):
        return {name: tree_map(change, part) for name, part in tree.items()}
    if is_dataclass(tree) and not isinstance(tree, type):
        return type(tree)(**{field.name: tree_map(change, getattr(tree, field.name)) for field in fields(tree)})
    return type(tree)(tree_map(change, part) for part in tree)


def tree_leaves(tree: Any) -> list[Tensor]:
    """All tensors of a tree, in order."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    tree_map(keep, tree)
    return found


def copy_tree(source: Any, target: Any) -> None:
    """Copy all tensors of one tree into those of another."""
    for one, other in zip(tree_leaves(source), tree_leaves(target), strict=True):
        other.copy_(one, non_blocking=True)


def _shapes(tree: Any) -> list[tuple[Any, ...]]:
    return [(tuple(tensor.shape), tensor.dtype, tensor.device) for tensor in tree_leaves(tree)]
