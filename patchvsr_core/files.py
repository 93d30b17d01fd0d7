"""Files on disk: which belong to a model, what is in them, and how they appear."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import ModelError

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


def read_weights(path: Path, wanted: str, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(configuration, tensors) of one of our files.

    Args:
        wanted: what its metadata gives as the format.
        kind: what such a file is called in messages.

    Raises:
        ModelError: in one sentence, what is wrong with the file.
    """
    if not path.is_file():
        raise ModelError(f"There is no {kind} file at {path}; check the path.")
    with damaged(path):
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if metadata.get("format") != wanted:
            raise ModelError(f"{path.name} is not a PatchVSR {kind}; choose a file written by the PatchVSR trainer.")
        return json.loads(metadata["config"]), tensors


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """What goes wrong within while a file is read becomes one sentence.

    Raises:
        ModelError: that the file is damaged, and why.
    """
    try:
        yield
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"{path.name} is damaged or was edited ({reason}); get it again.") from error
