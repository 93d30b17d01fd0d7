"""What makes an operation: its schema for torch, its meaning in plain torch, and the kernel that does the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .loading import NAMESPACE, CannotLaunch, KernelFile, is_dispatched, log_fallback, needs_gradients

Arguments = tuple[Any, ...]


def _unchanged(*arguments: Any) -> Arguments:
    return arguments


def _whole(*arguments: Any) -> list[Arguments]:
    return [arguments]


@dataclass(frozen=True, eq=False)
class Op:
    """One row of the table of operations, :data:`ops.OPS`.

    ``check``, ``reference``, ``on_cpu`` and ``launch`` all take the same arguments: those of the schema as ``arrange``
    leaves them. ``launch`` takes what launches kernels before them.
    """

    name: str
    """In torch's namespace of operations."""
    label: str
    """What log lines call it."""
    schema: str
    """Of torch, without the name; ``Tensor(a0!)`` is changed in place."""
    check: Callable[..., None]
    """Raises ValueError for arguments that make no sense."""
    reference: Callable[..., Any]
    """What it means: differentiable, on any device."""
    launch: Callable[..., Any]
    """Runs the kernel; raises CannotLaunch before anything is changed."""
    file: KernelFile
    """Where the kernel is."""
    empty: Callable[..., Any]
    """An empty result for the arguments of the schema, for compilers."""
    on_cpu: Callable[..., Any] | None = None
    """A faster way on a CPU; None: the reference."""
    arrange: Callable[..., Arguments] = _unchanged
    """From the flat lists that a schema can have to what the functions take."""
    pieces: Callable[..., Iterable[Arguments]] = _whole
    """Cuts arranged arguments into launches, each of which may fall back to the reference by itself."""

    def __call__(self, *arguments: Any) -> Any:
        """Run it where its tensors are, with gradients where they are wanted.

        Raises:
            ValueError: for arguments that make no sense.
        """
        tensors = list(_tensors(arguments))
        if needs_gradients(self.label, *tensors):
            given = self.arrange(*arguments)
            self.check(*given)
            return self.reference(*given)
        if is_dispatched(self.label, tensors[0]):
            return getattr(getattr(torch.ops, NAMESPACE), self.name)(*arguments)
        return self.run_without_kernel(*arguments)

    def run_without_kernel(self, *arguments: Any) -> Any:
        """The operation where it has no kernel."""
        given = self.arrange(*arguments)
        self.check(*given)
        if self.on_cpu is not None and next(_tensors(arguments)).device.type == "cpu":
            return self.on_cpu(*given)
        return self.reference(*given)

    def run_kernel(self, *arguments: Any) -> Any:
        """The operation by its kernel, or by the reference where that cannot be."""
        given, result = self.arrange(*arguments), None
        self.check(*given)
        for piece in self.pieces(*given):
            try:
                result = self.launch(self.file.launcher(next(_tensors(arguments)).device), *piece)
            except CannotLaunch as reason:
                log_fallback(self.label, str(reason))
                result = self.reference(*piece)
        return result

    def register(self) -> None:
        """Make it an operation of torch, under its name in our namespace."""
        changed = re.findall(r"Tensor\(\w+!\) (\w+)", self.schema)
        operation = torch.library.custom_op(
            f"{NAMESPACE}::{self.name}", self.run_without_kernel, mutates_args=changed, schema=self.schema
        )
        operation.register_fake(self.empty)
        operation.register_kernel("cuda")(self.run_kernel)


def _tensors(arguments: Sequence[Any]) -> Iterator[Tensor]:
    """Those among some arguments, lists of them included, in their order."""
    for argument in arguments:
        if isinstance(argument, Tensor):
            yield argument
        elif isinstance(argument, (list, tuple)):  # torch 2.6 compiles no union of types on Python 3.10
            yield from (item for item in argument if isinstance(item, Tensor))
