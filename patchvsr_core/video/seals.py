"""Seals: size and hash of a finished chunk's files, so that damaged or foreign ones are noticed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

BLOCK_BYTES = 2**22

Seal = list[int | str]
"""[bytes, BLAKE2b in hex]."""


def seal_of(path: Path, key: bytes) -> Seal:
    """The seal of a file, or of all files of a folder and their names.

    Args:
        key: at most 64 bytes; belongs to one chunk of one job, so that no other's file fits.

    Raises:
        OSError: when something cannot be read.
    """
    digest = hashlib.blake2b(key=key, digest_size=32)
    size = 0
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if path.is_dir():
            digest.update(f"{len(os.fsencode(file.name))}:{file.stat().st_size}:".encode() + os.fsencode(file.name))
        with file.open("rb") as opened:
            while block := opened.read(BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    return [size, digest.hexdigest()]


def is_intact(path: Path, seal: object, key: bytes) -> bool:
    """Whether a file or folder is what was sealed; a wrong size is noticed without reading it."""
    try:
        files = list(path.iterdir()) if path.is_dir() else [path]
        if not isinstance(seal, list) or sum(file.stat().st_size for file in files) != seal[0]:
            return False
        return seal_of(path, key) == seal
    except (OSError, IndexError):
        return False
