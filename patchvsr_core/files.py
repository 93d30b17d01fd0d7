"""Files on disk: which belong to a model, what is in them, and how they appear."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .errors import ModelError

BLOCK_BYTES = 2**24


def weight_files(path: Path) -> list[Path]:
    """The file itself, or all safetensors files of a folder in order of their names."""
    return sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]


def fingerprint(path: str | Path) -> str:
    """Name, size and time of a file or of all files of a folder."""
    stats = [(file.name, file.stat()) for file in weight_files(Path(path))]
    return " ".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats)


def sha256(*paths: Path) -> str:
    """Of the contents of files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()


def commit_file(partial: Path, path: Path) -> None:
    """Give a complete file its name; what has the name is on the disk, even after a power cut."""
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """A safetensors file that has its name only when it is complete."""
    partial = path.with_suffix(".part")
    save_file({name: value.contiguous() for name, value in tensors.items()}, str(partial))
    partial.replace(path)


def write_weights(path: str | Path, module: nn.Module, config: Any, written: str, dtype: torch.dtype) -> None:
    """Write one of our files: a module's weights, and its configuration in the metadata.

    Args:
        config: a dataclass.
        written: what the metadata gives as the format.
    """
    tensors = {name: tensor.detach().to(dtype).contiguous() for name, tensor in module.state_dict().items()}
    save_file(tensors, str(path), metadata={"format": written, "config": json.dumps(asdict(config))})


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
    with explain_read_errors(path):
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if metadata.get("format") != wanted:
            raise ModelError(f"{path.name} is not a PatchVSR {kind}; choose a file written by the PatchVSR trainer.")
        return json.loads(metadata["config"]), tensors


@contextmanager
def explain_read_errors(path: Path) -> Iterator[None]:
    """What goes wrong within while a file is read becomes one sentence.

    Raises:
        ModelError: that the file is damaged, and why.
    """
    try:
        yield
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"{path.name} is damaged or was edited ({reason}); get it again.") from error


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself.

    Raises:
        ModelError: when it is damaged.
    """
    with explain_read_errors(path), safe_open(str(path), framework="pt") as file:
        return dict(file.metadata() or {})


def read_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """The tensors of a file that others made, .safetensors or .pth (read without running code from it).

    Args:
        kind: what it is called in messages.

    Raises:
        ModelError: in one sentence, what is wrong with the file.
    """
    if not path.is_file():
        raise ModelError(f"There is no file of {kind} weights at {path}; check the path.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0][:120]
        raise ModelError(f"{path.name} is no readable file of weights ({reason}); download it again.") from error
    return state if isinstance(state, dict) else {}
