"""Files and folders as such: listing, fingerprints, and complete files getting their names."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

BLOCK_BYTES = 2**24


def weight_files(path: Path) -> list[Path]:
    """The file itself, or all safetensors files of a folder sorted by name."""
    return sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]


def fingerprint(path: str | Path) -> str:
    """Name, size and modification time of a file or of all files of a folder, to detect changes."""
    stats = [(file.name, file.stat()) for file in weight_files(Path(path))]
    return " ".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats)


def sha256(*paths: Path) -> str:
    """SHA-256 of the concatenated contents of files, in hex."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def commit_file(partial: Path, path: Path) -> None:
    """Sync a complete file to disk and give it its final name, so that it is intact even after a power cut."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def commit_folder(partial: Path, path: Path) -> None:
    """As :func:`commit_file` for a folder of complete files."""
    for file in partial.iterdir():
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
    sync_folder(partial)
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to disk; Windows does so by itself, and some network shares cannot."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
