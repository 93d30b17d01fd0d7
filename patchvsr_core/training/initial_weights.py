"""Starts a run from exported weights."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ..errors import ModelError
from ..finish.conditional_refiner import ConditionalRefiner
from ..finish.refine import Refiner


def load_part(task: nn.Module, name: str, part: nn.Module, folder: Path) -> None:
    """Copy the weights of an exported part; a variant with more parts keeps its own where the file has none.

    Args:
        name: of the submodule of ``task`` to copy to.
        folder: where the part was read from, for messages.

    Raises:
        ModelError: when it has other sizes than the configuration.
    """
    target = task.get_submodule(name)
    try:
        if isinstance(target, ConditionalRefiner) and type(part) is Refiner:
            target.initialise_from(part)
        else:
            target.load_state_dict(part.state_dict())
    except RuntimeError as error:
        raise ModelError(
            f"The {name} in {folder} has other sizes than the configuration; use the one it was trained with."
        ) from error
