"""Names of hidden files beside an output, never too long for its file system."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..errors import OutputError

NAME_BYTES = 255
"""Longest name where the system does not say: NTFS, ext4 and APFS agree about it."""


def hidden_beside(path: Path, stem: str, ending: str) -> Path:
    """``.<stem><ending>`` beside a file; a hash of its name in place of ``stem`` where that would be too long."""
    name = f".{stem}{ending}"
    if _length(name) > name_limit(path.parent):
        name = f".{hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()}{ending}"
    return path.with_name(name)


def partial_of(path: Path) -> Path:
    """The name of a file until it is complete."""
    return hidden_beside(path, path.stem, f".part{path.suffix}")


def check_name(path: Path) -> None:
    """Raise for a name that the file system cannot store.

    Raises:
        OutputError: with the length of the name and of the longest that fits.
    """
    limit = name_limit(path.parent)
    if _length(path.name) > limit:
        raise OutputError(
            f"The name {path.name[:40]}... has {_length(path.name)} bytes, but {limit} are the most that fit in "
            f"{path.parent}; choose a shorter one."
        )


def name_limit(folder: Path) -> int:
    """Longest name in bytes of a file in a folder."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows; a folder that does not exist
        return NAME_BYTES


def _length(name: str) -> int:
    return len(os.fsencode(name))
