"""Blocks of numbers in a checkpoint, and the tensors that view them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

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


class Blocks:
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
