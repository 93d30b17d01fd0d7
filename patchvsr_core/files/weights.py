"""Weights in safetensors files, with their format and configuration in the metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import ModelError, PatchVSRError
from .disk import sha256
from .int8 import DTYPES, Int8, dequantize, is_large, names_without_scales, parse_metadata, quantize

SAFETENSORS = (".safetensors", ".sft")
MOST_HEADER_BYTES = 2**24
"""Names and shapes of the largest models take a few hundred kilobytes."""
REASON_LETTERS = 120


@dataclass(frozen=True)
class Header:
    """The beginning of a safetensors file."""

    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    int8: Int8 | None
    """How large matrices are stored, where they are 8-bit integers."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file, which gets its name only when it is complete."""
    partial = path.with_suffix(".part")
    save_file({name: value.contiguous() for name, value in tensors.items()}, str(partial), metadata=metadata)
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


def store_as_int8(source: Path, target: Path) -> None:
    """Write the weights of a file again, with its large matrices as 8-bit integers (see :mod:`.int8`).

    Args:
        target: may be the same file.

    Raises:
        ModelError: when it is damaged, or holds no large matrices in one precision.
    """
    header, tensors = read_header(source), read_tensors(source)
    precisions = {str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values() if is_large(tensor)}
    if header.int8 is not None or len(precisions) != 1 or not precisions <= DTYPES.keys():
        raise ModelError(
            f"{source.name} holds no large matrices in one precision, or 8-bit integers already; give a file as the "
            "trainer exports it."
        )
    stored = Int8(dtype=precisions.pop(), source=sha256(source))
    write_tensors(target, quantize(tensors), {**header.metadata, **stored.metadata()})


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
            metadata = dict(file.metadata() or {})
            stored = parse_metadata(metadata)
            names = file.keys() if stored is None else names_without_scales(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            return Header(metadata, shapes, stored)


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file.

    Raises:
        ModelError: when it is damaged.
    """
    return read_header(path).metadata


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file; matrices that are stored as 8-bit integers in their precision before.

    Raises:
        ModelError: when it is damaged.
    """
    stored = read_header(path).int8
    with explain_read_errors(path), safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        return tensors if stored is None else dequantize(tensors, stored)
