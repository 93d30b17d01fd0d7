"""Large fresh arrays on large pages: to touch memory for the first time costs more than to blend into it."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

MADV_HUGEPAGE = 14
"""Of Linux's mman.h."""
PAGE = 4096
WORTH_BYTES = 2**25
"""Arrays from here on are mapped by themselves by glibc, so that the advice ends with them."""


def fresh(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """An array on the processor whose values are still to be written; Linux is asked for pages of 2 MiB."""
    array = torch.empty(shape, dtype=dtype)
    size = array.numel() * array.element_size()
    if size >= WORTH_BYTES and (advise := _advise()) is not None:
        first = -(-array.data_ptr() // PAGE) * PAGE
        length = (array.data_ptr() + size - first) // PAGE * PAGE
        advise(ctypes.c_void_p(first), ctypes.c_size_t(length), MADV_HUGEPAGE)  # may be refused, and then is
    return array


@lru_cache(maxsize=1)
def _advise() -> Any:
    """The C library's madvise on Linux; None elsewhere."""
    with suppress(OSError, AttributeError):
        return ctypes.CDLL(None).madvise if sys.platform == "linux" else None
    return None
