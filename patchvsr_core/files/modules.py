"""Networks from what a file holds, which is checked before anything is built from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from ..errors.finite import mark_source
from .weights import explain_read_errors, read_weights

MOST_CHANNELS, MOST_LAYERS = 2**17, 256
"""Hyper-parameters of a file are at most these; those of the largest Wan are 13824 and 40."""
LAYERS = ("blocks", "layers", "levels")
MAY_BE_NONE = ("blocks", "hidden", "lora_rank")
"""Hyper-parameters that may be 0."""

Module = TypeVar("Module", bound=nn.Module)
Config = TypeVar("Config")


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


def read_network(path: Path, wanted: str, kind: str, config: type[Config], make: Callable[[Config], Module]) -> Module:
    """A network in single precision from a file that holds its hyper-parameters beside its weights.

    Args:
        wanted, kind: see :func:`weights.read_weights`.
        config: the dataclass of its hyper-parameters.

    Raises:
        ModelError: in one sentence, what is wrong with the file.
    """
    values, tensors = read_weights(path, wanted, kind)
    with explain_read_errors(path):
        chosen = parse_config(config, values)
        return mark_source(fill_module(lambda: make(chosen), tensors), path)


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
