"""Model files: listing, fingerprints, reading, and writing atomically."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .errors import ModelError, PatchVSRError
from .pickled import read_pickled

BLOCK_BYTES = 2**24
SAFETENSORS = (".safetensors", ".sft")
MOST_HEADER_BYTES = 2**24
"""Names and shapes of the largest models take a few hundred kilobytes."""
MOST_CHANNELS, MOST_LAYERS = 2**17, 256
"""Hyper-parameters of a file are at most these; those of the largest Wan are 13824 and 40."""
LAYERS = ("blocks", "layers", "levels")
MAY_BE_NONE = ("blocks", "hidden", "lora_rank")
"""Hyper-parameters that may be 0."""
REASON_LETTERS = 120

Module = TypeVar("Module", bound=nn.Module)
Config = TypeVar("Config")


@dataclass(frozen=True)
class Header:
    """The beginning of a safetensors file."""

    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]


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
    metadata = read_header(path).metadata
    if metadata.get("format") != wanted:
        raise ModelError(f"{path.name} is not a PatchVSR {kind}; choose a file written by the PatchVSR trainer.")
    with explain_read_errors(path):
        return dict(json.loads(metadata["config"]).items()), read_tensors(path)


@contextmanager
def explain_read_errors(path: Path, error_type: type[PatchVSRError] = ModelError) -> Iterator[None]:
    """Turn errors while reading a file into a readable message.

    A file from a stranger may raise anything, out of memory and endless recursion included; whatever it is, the file
    is the reason.

    Raises:
        ModelError: that the file is damaged, and why; or another ``error_type``.
    """
    try:
        yield
    except PatchVSRError:
        raise
    except Exception as error:
        lines = str(error).split("\n")
        reason = lines[1 if "state_dict" in lines[0] and len(lines) > 1 else 0].strip() or type(error).__name__
        raise error_type(f"{path.name} is damaged or was edited ({reason[:REASON_LETTERS]}); get it again.") from error


def read_header(path: Path) -> Header:
    """Read metadata and shapes of a safetensors file, without its tensors.

    Raises:
        ModelError: when it is damaged.
    """
    with explain_read_errors(path):
        with path.open("rb") as file:
            if int.from_bytes(file.read(8), "little") > MOST_HEADER_BYTES:
                raise ValueError("it is no safetensors file")
        with safe_open(str(path), framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
            return Header(dict(file.metadata() or {}), shapes)


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file.

    Raises:
        ModelError: when it is damaged.
    """
    return read_header(path).metadata


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file.

    Raises:
        ModelError: when it is damaged.
    """
    names = read_header(path).shapes
    with explain_read_errors(path), safe_open(str(path), framework="pt") as file:
        return {name: file.get_tensor(name) for name in names}


def read_checkpoint(path: Path, kind: str, within: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Read the tensors of a third-party checkpoint, .safetensors or .pth (without running code from it).

    Args:
        kind: what it is called in messages.
        within: names of the dictionary that holds them, the first one that is there; without any, the file's own.

    Raises:
        ModelError: when the file is missing, damaged, could run code, or holds more than tensors.
    """
    if not path.is_file():
        raise ModelError(f"There is no file with {kind} weights at {path}; check the path.")
    if path.suffix.lower() in SAFETENSORS:
        return read_tensors(path)
    state = read_pickle(path)
    if not isinstance(state, dict):
        return {}
    state = next((state[name] for name in within if name in state), state)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path.name} is not a file of {kind} weights alone; get them as .safetensors.")
    return {str(name): tensor for name, tensor in state.items()}


def read_pickle(path: Path) -> Any:
    """Read any .pth, .pt or .ckpt of PyTorch, see :mod:`.pickled`; there is no other way in this package.

    Raises:
        ModelError: when it is damaged, or could run code.
    """
    try:
        return read_pickled(path)
    except ModelError:
        raise
    except Exception as error:  # a file from a stranger may raise anything
        reason = (str(error).partition("\n")[0] or type(error).__name__)[:REASON_LETTERS]
        raise ModelError(f"{path.name} is not a readable file of weights ({reason}); download it again.") from error


def parse_config(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """A dataclass of hyper-parameters from a file's JSON, checked before anything is built from it.

    Raises:
        TypeError, ValueError: for an unknown name, a wrong type or an impossible number.
    """
    hints = get_type_hints(kind)
    for name, value in values.items():
        if name not in hints:
            raise TypeError(f"{name} is unknown")
        choices = get_args(hints[name]) if get_origin(hints[name]) not in (None, tuple) else ()
        allowed = value in choices if choices else type(value) is (get_origin(hints[name]) or hints[name])
        if not allowed:
            raise TypeError(f"{name} is {str(value)[:40]!r}")
        if type(value) is int:
            low = 0 if name.endswith(MAY_BE_NONE) else 1
            high = MOST_LAYERS if name.endswith(LAYERS) else MOST_CHANNELS
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}, not {low} to {high}")
    return kind(**values)


def fill_module(make: Callable[[], Module], tensors: Mapping[str, Tensor]) -> Module:
    """Build a network around the tensors of a file, in single precision.

    It is built without memory first: no name or shape in a file makes it take more than its tensors do.

    Raises:
        RuntimeError: when names or shapes differ.
        ValueError: for a tensor that is not finite, or holds no fractions.
    """
    with torch.device("meta"):
        module = make()
    check_weights(tensors)
    module.load_state_dict({name: tensor.to(torch.float32, copy=True) for name, tensor in tensors.items()}, assign=True)
    return module


def check_weights(tensors: Mapping[str, Tensor]) -> None:
    """Raise unless all weights are finite numbers.

    Raises:
        ValueError: naming one that is not.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{name} holds no fractions")
        if not bool(tensor.float().isfinite().all()):
            raise ValueError(f"{name} holds NaN or Inf")
