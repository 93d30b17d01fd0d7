"""Harm done to files of an unfinished run."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path, random.Random], None]


def overwrite(path: Path, rng: random.Random) -> None:
    """A few random bytes somewhere."""
    data = bytearray(path.read_bytes())
    at, length = rng.randrange(len(data)), rng.randrange(1, 400)
    new = bytes(byte ^ rng.randrange(1, 256) for byte in data[at : at + length])
    data[at : at + length] = new
    path.write_bytes(data)


def zero(path: Path, rng: random.Random) -> None:
    """400 zero bytes somewhere, or all of a short file."""
    data = bytearray(path.read_bytes())
    length = min(400, len(data))
    at = rng.randrange(len(data) - length + 1)
    data[at : at + length] = bytes(length)
    path.write_bytes(data)


def truncate(path: Path, rng: random.Random) -> None:
    """The end is missing, or everything."""
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def replace_by_another(path: Path, rng: random.Random) -> None:
    """The file of another chunk, with the seal that belongs to it."""
    piece = path.parent if path.parent.suffix == ".images" else path
    others = [other for other in piece.parent.glob(f"0*{piece.suffix}") if other != piece]
    other = rng.choice(sorted(others))
    shutil.rmtree(piece) if piece.is_dir() else piece.unlink()
    shutil.copytree(other, piece) if other.is_dir() else shutil.copyfile(other, piece)
    shutil.copyfile(other.with_suffix(".seal"), piece.with_suffix(".seal"))


DAMAGES: dict[str, Damage] = {
    "random bytes": overwrite, "zeros": zero, "truncated": truncate, "foreign": replace_by_another,
}  # fmt: skip


def damage_chunk(journal: Path, suffix: str, kind: str, rng: random.Random) -> int:
    """Damage one chunk's file, or one of its images; returns the chunk's number."""
    chunk_file = rng.choice(sorted(journal.glob(f"0*{suffix}")))
    DAMAGES[kind](rng.choice(sorted(chunk_file.iterdir())) if chunk_file.is_dir() else chunk_file, rng)
    return int(chunk_file.stem)
