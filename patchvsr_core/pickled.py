"""Reads PyTorch's own checkpoint files (.pth, .pt, .ckpt) without unpickling them: nothing in them is ever run.

A pickle is a program. ``torch.load`` restricts what it may call, but has passed TorchScript archives on to another
loader, and trusts sizes that a file declares. So the opcodes of a file are interpreted here, those few that weights
need: they build dictionaries, lists, numbers, text and tensors, and everything else is refused.
"""

from __future__ import annotations

import mmap
import pickletools
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from .errors import ModelError

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file that is no zip archive begins: torch.save before 1.6."""
PROTOCOL = 1001
SHARED = 2
"""All tensors together may be so many times as large as the file: one weight may have two names."""
STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in STORAGES.values()}
CALLS = (
    "collections OrderedDict",
    "torch Size",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)


@dataclass(frozen=True)
class Storage:
    """A block of numbers that tensors view."""

    dtype: torch.dtype
    key: str
    length: int

    def __post_init__(self) -> None:
        if type(self.key) is not str or type(self.length) is not int or self.length < 0:
            raise ValueError("a block of numbers without a name or length")


MakeTensor = Callable[[Storage, int, tuple[int, ...], tuple[int, ...]], Any]
"""(storage, offset, shape, strides) to a tensor."""


@dataclass(frozen=True)
class _Call:
    """A function that a pickle names; it is never imported."""

    name: str


def read_pickled(path: Path) -> Any:
    """Read a checkpoint: dictionaries, lists, numbers, text and tensors, on the CPU.

    Raises:
        ModelError: for a TorchScript or tar archive, and for a pickle that wants to call anything.
        Exception: of any kind for a damaged file.
    """
    if zipfile.is_zipfile(path):
        return _read_archive(path)
    with path.open("rb") as file:
        if file.read(len(LEGACY_MAGIC)) == LEGACY_MAGIC:
            return _read_legacy(path)
    if tarfile.is_tarfile(path):
        raise _refusal(path, "a tar archive of PyTorch before 0.1.10")
    raise ValueError("neither PyTorch's format nor safetensors")


def _read_archive(path: Path) -> Any:
    """A zip archive, as torch.save has written since 1.6."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        inner = [entry.filename.partition("/")[2] for entry in entries]
        if any(name == "constants.pkl" or name.startswith("code/") for name in inner):
            raise _refusal(path, "a TorchScript archive")
        size = path.stat().st_size
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is compressed, which PyTorch's files are not")
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("its parts are larger than the file")
        (program,) = (entry for entry in entries if entry.filename.endswith("/data.pkl"))
        folder = program.filename.removesuffix("data.pkl")
        _check_order(archive.read(f"{folder}byteorder") if "byteorder" in inner else b"little")

        def load(storage: Storage) -> bytes:
            return archive.read(f"{folder}data/{storage.key}")

        return _interpret(path, pickletools.genops(archive.read(program)), _Tensors(load, SHARED * size))


def _read_legacy(path: Path) -> Any:
    """Pickles one after the other, then the numbers: PyTorch before 1.6."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:

        def program(make: MakeTensor) -> Any:
            return _interpret(path, pickletools.genops(cast("IO[bytes]", data)), make)

        data.seek(len(LEGACY_MAGIC))
        if program(_no_tensor) != PROTOCOL:
            raise ValueError("an unknown version of PyTorch's format")
        program(_no_tensor)  # sizes of types where it was written
        start, storages = data.tell(), dict[str, Storage]()
        program(lambda storage, *view: storages.setdefault(storage.key, storage))
        blocks = {}
        for key in program(_no_tensor):
            if struct.unpack("<q", data.read(8)) != (storages[key].length,):
                raise ValueError(f"the length of {key} differs")
            blocks[key] = data.read(storages[key].length * storages[key].dtype.itemsize)
        data.seek(start)
        return program(_Tensors(lambda storage: blocks[storage.key], SHARED * len(data)))


def _refusal(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path.name} is {what}, which can run code on this machine and is therefore not read; get the weights as "
        ".safetensors."
    )


def _check_order(order: bytes) -> None:
    if order.decode() != sys.byteorder:
        raise ValueError("it was written on a machine of another byte order")


def _no_tensor(*_: Any) -> Any:
    raise ValueError("a tensor where none belongs")


class _Tensors:
    """Makes tensors of blocks of numbers, and trusts no size.

    Args:
        load: the bytes of a block.
        most_bytes: of all tensors together; a tensor of stride 0 would be as large as it likes.
    """

    def __init__(self, load: Callable[[Storage], bytes], most_bytes: int) -> None:
        self.load, self.left = load, most_bytes
        self.blocks: dict[str, tuple[Storage, Tensor]] = {}

    def __call__(self, storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
        if len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in (offset, *shape, *strides)):
            raise ValueError("a tensor without a proper shape")
        count, last = 1, offset
        for length, stride in zip(shape, strides, strict=True):
            count *= length
            last += stride * (length - 1)
        if count and (last >= storage.length or count > storage.length):
            raise ValueError("a tensor that is larger than its numbers")
        self.left -= count * storage.dtype.itemsize
        if self.left < 0:
            raise ValueError("its tensors are larger than the file")
        return self._block(storage).as_strided(shape, strides, offset if count else 0)

    def _block(self, storage: Storage) -> Tensor:
        if storage.key not in self.blocks:
            raw = bytearray(self.load(storage))
            if len(raw) != storage.length * storage.dtype.itemsize:
                raise ValueError(f"the length of {storage.key} differs")
            numbers = torch.frombuffer(raw, dtype=storage.dtype) if raw else torch.empty(0, dtype=storage.dtype)
            self.blocks[storage.key] = storage, numbers
        found, numbers = self.blocks[storage.key]
        if found != storage:
            raise ValueError(f"{storage.key} has two types")
        return numbers


def _interpret(path: Path, opcodes: Iterable[tuple[Any, Any, Any]], make: MakeTensor) -> Any:
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
                raise _refusal(self.path, f"a pickle with {name}")
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
            raise _refusal(self.path, f"a pickle that calls {name.replace(' ', '.')[:80]}")
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
