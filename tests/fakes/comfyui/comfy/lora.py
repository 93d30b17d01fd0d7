"""Low-rank changes of weights."""

from __future__ import annotations

from torch import Tensor

LowRank = tuple[Tensor, Tensor]


def load_lora(lora: dict[str, Tensor], to_load: dict[str, str], log_missing: bool = True) -> dict[str, LowRank]:
    """(up, down) per weight of the model; ``to_load`` maps a layer's name in the file to that weight."""
    return {
        weight: (lora[f"{name}.lora_up.weight"], lora[f"{name}.lora_down.weight"]) for name, weight in to_load.items()
    }
