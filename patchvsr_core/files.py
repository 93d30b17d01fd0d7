"""Files on disk: which belong to a model, what is in them, and how they appear."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

BLOCK_BYTES = 2**24


def weight_files(path: Path) -> list[Path]:
    """The file itself, or all safetensors files of a folder in order of their names."""
    return sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]


def sha256(*paths: Path) -> str:
    """Of the contents of files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def settle(partial: Path, path: Path) -> None:
    """Give a complete file its name; what has the name is on the disk, even after a power cut."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)
