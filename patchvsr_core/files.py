"""Model files: listing, fingerprints, reading, and writing atomically."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
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


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file, which gets its name only when it is complete."""
    partial = path.with_suffix(".part")
    save_file({name: value.contiguous() for name, value in tensors.items()}, str(partial))
    partial.replace(path)


def write_weights(path: str | Path, module: nn.Module, config: Any, written: str, dtype: torch.dtype) -> None:
    """Write a module's weights to a safetensors file, with its format and configuration in the metadata.

    Args:
        config: a dataclass.
        written: name of the format.
    """
    tensors = {name: tensor.detach().to(dtype).contiguous() for name, tensor in module.state_dict().items()}
    save_file(tensors, str(path), metadata={"format": written, "config": json.dumps(asdict(config))})


def read_weights(path: Path, wanted: str, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read (configuration, tensors) of a file written by :func:`write_weights`.

    Args:
        wanted: name of the format.
        kind: what such a file is called in messages.

    Raises:
        ModelError: when the file is missing, damaged or of another format.
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
    """Turn errors while reading a file into a readable message.

    Raises:
        ModelError: that the file is damaged, and why.
    """
    try:
        yield
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(f"{path.name} is damaged or was edited ({reason}); get it again.") from error


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file.

    Raises:
        ModelError: when it is damaged.
    """
    with explain_read_errors(path), safe_open(str(path), framework="pt") as file:
        return dict(file.metadata() or {})


def read_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """Read the tensors of a third-party checkpoint, .safetensors or .pth (without executing code from it).

    Args:
        kind: what it is called in messages.

    Raises:
        ModelError: when the file is missing or damaged.
    """
    if not path.is_file():
        raise ModelError(f"There is no file with {kind} weights at {path}; check the path.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0][:120]
        raise ModelError(f"{path.name} is not a readable file of weights ({reason}); download it again.") from error
    return state if isinstance(state, dict) else {}
