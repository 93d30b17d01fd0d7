"""Large matrices stored as 8-bit integers: files half as large as in half precision.

A value is ``integer * scale``, with one scale for each row (an output channel), whose largest magnitude becomes 127.
Biases, norms and small tensors stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

KEY = "patchvsr-int8"
"""Of the metadata of a file that holds such matrices."""
SCALE = ".int8_scale"
"""What the name of a matrix ends in for its scales."""
LEAST_VALUES = 2**14
"""Of a matrix for it to be stored in this way."""
MOST = 127
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class Int8:
    """How the matrices of a file are stored, as it stands in the file's metadata.

    Raises:
        ValueError: for a precision that no matrix had.
    """

    dtype: str = "bfloat16"
    """Precision of the matrices before, and after reading."""
    source: str = ""
    """SHA-256 of the file that they were taken from."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"int8 of {str(self.dtype)[:20]!r}")

    def metadata(self) -> dict[str, str]:
        """What :func:`parse_metadata` reads."""
        return {KEY: json.dumps(asdict(self))}


def parse_metadata(metadata: Mapping[str, str]) -> Int8 | None:
    """How a file's matrices are stored; None for a file without such.

    Raises:
        TypeError, ValueError: when the metadata describes nothing that can be read.
    """
    return Int8(**json.loads(metadata[KEY])) if KEY in metadata else None


def quantize(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with their large matrices as integers, and the scales of those beside them."""
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if is_large(tensor):
            result[name], result[name + SCALE] = quantize_matrix(tensor)
        else:
            result[name] = tensor
    return result


def dequantize(tensors: Mapping[str, Tensor], stored: Int8) -> dict[str, Tensor]:
    """What :func:`quantize` was given, but for rounding.

    Raises:
        ValueError: when a matrix lacks its scales, or they do not fit.
    """
    result: dict[str, Tensor] = {}
    for name in names_without_scales(tensors):
        tensor, scale = tensors[name], tensors.get(name + SCALE)
        if tensor.dtype == torch.int8 and scale is not None and scale.shape == tensor.shape[:1]:
            result[name] = dequantize_matrix(tensor, scale, DTYPES[stored.dtype])
        elif tensor.dtype != torch.int8 and scale is None:
            result[name] = tensor
        else:
            raise ValueError(f"{name} and its scales do not go together")
    return result


def names_without_scales(names: Iterable[str]) -> list[str]:
    """Names of the tensors alone, in their order."""
    return [name for name in names if not name.endswith(SCALE)]


def is_large(tensor: Tensor) -> bool:
    """Whether a tensor is a matrix of many values: weights of a layer, not one row of a table."""
    return tensor.ndim > 1 and len(tensor) > 1 and tensor.numel() >= LEAST_VALUES


def quantize_matrix(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """(integers of the same shape, scales (rows,) in float32) of weights (rows, ...)."""
    rows = matrix.float().flatten(1)
    scale = rows.abs().amax(1) / MOST
    integers = (rows / scale.clamp_min(torch.finfo(torch.float32).tiny)[:, None]).round()
    return integers.reshape(matrix.shape).to(torch.int8), scale


def dequantize_matrix(integers: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Weights from what :func:`quantize_matrix` returned."""
    return (integers.flatten(1) * scale[:, None]).reshape(integers.shape).to(dtype)
