"""Interprets the opcodes of a pickle that weights need; everything else is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import ModelError, phrase
from .blocks import DTYPES, STORAGES, MakeTensor, Storage

CALLS = (
    "collections OrderedDict",
    "torch Size",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)


@dataclass(frozen=True)
class _Call:
    """A function that a pickle names; it is never imported."""

    name: str


def refusal(path: Path, what: str) -> ModelError:
    """The error for a file that could run code; ``what`` names its kind."""
    return ModelError(
        f"{path.name} is {what}, which can run code on this machine and is therefore not read; get the weights as "
        ".safetensors."
    )


def interpret(path: Path, opcodes: Iterable[tuple[Any, Any, Any]], make: MakeTensor) -> Any:
    """What a pickle describes.

    Raises:
        ModelError: when it wants to call what weights do not need.
        Exception: of any kind when it is damaged.
    """
    machine = _Machine(path, make)
    for opcode, argument, _ in opcodes:
        if opcode.name == "STOP":
            return machine.stack.pop()
        machine.step(opcode.name, argument)
    raise ValueError("it breaks off")


VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
NOTHING_TO_DO = {"PROTO", "FRAME"}


class _Machine:
    """The stack of a pickle, and the values that it refers to by number."""

    def __init__(self, path: Path, make: MakeTensor) -> None:
        self.path, self.make = path, make
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Run one opcode."""
        if name in NOTHING_TO_DO:
            return
        if name in VALUES:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in TUPLES:
            self.stack[-TUPLES[name] :] = [tuple(self.stack[-TUPLES[name] :])]
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        else:
            step = getattr(self, f"_{name.lower()}", None)
            if step is None:
                raise refusal(self.path, phrase(f"a pickle with {name}"))
            step(argument)

    def _empty_dict(self, _: None) -> None:
        self.stack.append({})

    def _empty_list(self, _: None) -> None:
        self.stack.append([])

    def _mark(self, _: None) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def _marked(self) -> list[Any]:
        found, self.stack = self.stack, self.outer.pop()
        return found

    def _tuple(self, _: None) -> None:
        values = self._marked()
        self.stack.append(tuple(values))

    def _append(self, _: None) -> None:
        self._extend([self.stack.pop()])

    def _appends(self, _: None) -> None:
        self._extend(self._marked())

    def _extend(self, values: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("an entry of something that is no list")
        self.stack[-1].extend(values)

    def _setitem(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _setitems(self, _: None) -> None:
        self._update(self._marked())

    def _update(self, values: list[Any]) -> None:
        keys = values[::2]
        if type(self.stack[-1]) is not dict or any(type(key) not in (str, int) for key in keys):
            raise ValueError("an entry of something that is no dictionary")
        self.stack[-1].update(zip(keys, values[1::2], strict=True))

    def _global(self, argument: str) -> None:
        self.stack.append(self._named(argument))

    def _stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(self._named(f"{module} {name}"))

    def _named(self, name: str) -> _Call | torch.dtype:
        module, _, attribute = name.partition(" ")
        if module in ("torch", "torch.cuda") and attribute.removesuffix("Storage") in STORAGES:
            return STORAGES[attribute.removesuffix("Storage")]
        if module == "torch" and attribute in DTYPES:
            return DTYPES[attribute]
        if name not in CALLS:
            raise refusal(self.path, phrase(f"a pickle that calls {name.replace(' ', '.')[:80]}"))
        return _Call(name)

    def _binpersid(self, _: None) -> None:
        kind, dtype, key, _where, length, *view = self.stack.pop()
        if kind != "storage" or not isinstance(dtype, torch.dtype) or any(part is not None for part in view):
            raise ValueError("an unknown kind of numbers")
        self.stack.append(Storage(dtype, key, length))

    def _reduce(self, _: None) -> None:
        arguments, call = self.stack.pop(), self.stack.pop()
        match call, arguments:
            case _Call("collections OrderedDict"), ():
                self.stack.append({})
            case _Call("torch Size"), (tuple() as shape,):
                self.stack.append(shape)
            case _Call("torch._utils _rebuild_tensor_v2"), (
                Storage() as storage,
                offset,
                tuple() as shape,
                strides,
                *_,
            ):
                self.stack.append(self.make(storage, offset, shape, strides))
            case _Call("torch._utils _rebuild_parameter"), (tensor, *_):
                self.stack.append(tensor)
            case _:
                raise ValueError("a call that weights do not need")

    def _build(self, _: None) -> None:
        """Attributes of an ordered dictionary, such as the versions of its modules; they are left out."""
        if type(self.stack.pop()) is not dict or type(self.stack[-1]) is not dict:
            raise ValueError("attributes of something that has none")
