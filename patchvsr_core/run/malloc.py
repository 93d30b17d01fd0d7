"""The C allocator (glibc) kept from holding on to memory over a long run; nothing happens on other systems."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt``, from malloc.h."""
MAPPED_BYTES = 2**24
"""Arrays of this size and above are mapped one by one. Mapping costs time: with 2 MiB a run takes a third longer."""
KEPT_BYTES = 2**26
"""Free memory at the end of the heap up to which it is kept for the next arrays."""


def tune_malloc() -> None:
    """Let glibc map large arrays one by one, so that freeing them leaves no holes; for the whole process."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def trim_malloc() -> None:
    """Return freed memory to the system: its fragments would otherwise add up over hours."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
