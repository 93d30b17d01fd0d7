"""Adapter files: one safetensors file with a versioned configuration in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import AdapterError, ModelError
from ..errors.finite import mark_source
from ..files import check_weights, explain_read_errors, parse_config, read_header, read_tensors
from .adapter import Adapter
from .config import AdapterConfig, BaseSpec

FORMAT = "patchvsr-adapter"


def save_adapter(
    adapter: Adapter, path: str | Path, dtype: torch.dtype = torch.bfloat16, *, trained_on: str | None = None
) -> None:
    """Write an adapter with its configuration.

    Args:
        trained_on: SHA-256 of the base's file, stored so that users can find it.
    """
    tensors = {name: tensor.detach().to(dtype).contiguous().cpu() for name, tensor in adapter.state_dict().items()}
    metadata = {"format": FORMAT, "config": json.dumps(asdict(adapter.config))}
    if trained_on is not None:
        metadata["base_sha256"] = trained_on
    save_file(tensors, str(path), metadata=metadata)


def load_adapter(path: str | Path, *, ops: Any = nn, dtype: torch.dtype | None = None) -> Adapter:
    """Load an adapter file, checking every name and shape.

    Args:
        ops: see :class:`Adapter`.
        dtype: convert the weights; None keeps the file's.

    Raises:
        AdapterError: when the file is missing, damaged or not an adapter.
    """
    path = Path(path)
    metadata, tensors = _read(path)
    config = _config(path, metadata)
    with explain_read_errors(path, AdapterError):
        with torch.device("meta"):
            expected = Adapter(config).state_dict()  # takes no memory, whatever the configuration says
        _check_tensors(path, expected, tensors)
        check_weights(tensors)
    adapter = Adapter(config, ops=ops)
    if dtype is None:
        dtype = next(iter(tensors.values())).dtype
    adapter.to(dtype)
    adapter.load_state_dict({name: tensor.to(dtype) for name, tensor in tensors.items()})
    return mark_source(adapter.requires_grad_(False).eval(), path)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise AdapterError(f"There is no adapter file at {path}; check the path.")
    try:
        return read_header(path).metadata, read_tensors(path)
    except ModelError as error:
        raise AdapterError(
            f"{path.name} is not a readable safetensors file ({error.__cause__}); download or export it again."
        ) from error


def _config(path: Path, metadata: Mapping[str, str]) -> AdapterConfig:
    if metadata.get("format") != FORMAT:
        raise AdapterError(
            f"{path.name} is not a PatchVSR adapter (its metadata lacks the format {FORMAT!r}); "
            "choose a file written by the PatchVSR trainer."
        )
    try:
        fields = json.loads(metadata["config"])
        fields["base"] = parse_config(BaseSpec, fields["base"])
        fields["lora_targets"] = tuple(fields.get("lora_targets", ()))
        return parse_config(AdapterConfig, fields)
    except AdapterError:
        raise
    except Exception as error:  # a file from a stranger may raise anything
        raise AdapterError(
            f"The configuration in {path.name} cannot be read ({error}); it may be newer: update PatchVSR."
        ) from error


def _check_tensors(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing:
        raise AdapterError(
            f"{path.name} lacks tensor {missing[0]!r} ({len(missing)} such); the file is damaged: get it again."
        )
    if extra:
        raise AdapterError(
            f"{path.name} has an unknown tensor {extra[0]!r} ({len(extra)} such); the file is damaged: get it again."
        )
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            raise AdapterError(
                f"Tensor {name!r} in {path.name} has shape {tuple(found[name].shape)}, but its configuration requires "
                f"{tuple(tensor.shape)}; the file is damaged or was edited: get it again."
            )
