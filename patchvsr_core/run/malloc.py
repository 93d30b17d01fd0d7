"""The C allocator (glibc) kept from holding on to memory over a long run; nothing happens on other systems."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_MMAP_THRESHOLD = -3
"""Parameter of glibc's ``mallopt``, from malloc.h."""
MAPPED_BYTES = 2**21
"""Arrays of this size and above are mapped one by one."""


def tune_malloc() -> None:
    """Let glibc map large arrays one by one, so that freeing them leaves no holes; for the whole process."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


def trim_malloc() -> None:
    """Return freed memory to the system: its fragments would otherwise add up over hours."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
