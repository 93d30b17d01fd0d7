"""Checkpoints of others, .safetensors or .pth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ModelError
from ..pickled import read_pickled
from .weights import REASON_LETTERS, SAFETENSORS, read_tensors


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
