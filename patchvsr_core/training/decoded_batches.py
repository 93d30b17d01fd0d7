"""Batches of crops with what a finished base made of them, kept on disk: the refiner then learns without the base."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from ..errors import PatchVSRError
from ..files import write_tensors
from .refiner_loss import CropBatch

INDEX = "decoded.json"
STORED = {"upsampled": "enlarged", "degradation": "damage"}
"""Names of tensors in the files where they are not those of the fields."""


@dataclass(frozen=True, eq=False)
class DecodedBatch(CropBatch):
    """Crops as the refiner gets them."""

    decoded: Tensor
    """(N, T, H, W, 3) the base's frames."""


def write_decoded(batches: Any, decode: Any, out: Path, numbers: Sequence[int], seed: int) -> None:
    """Keep batches with the base's frames; files that are there already stay.

    Args:
        batches: batch number k must be a function of k alone.
        decode: returns the base's frames of a batch, shaped as its truth.
    """
    folder = out / "batches"
    folder.mkdir(parents=True, exist_ok=True)
    for number in tqdm(numbers, unit="batch", mininterval=10):
        path = folder / f"{number:07d}.safetensors"
        if path.is_file():
            continue
        batch = batches[number]
        exact = {"upsampled": batch.upsampled, "decoded": decode(batch)}
        levels = {"truth": batch.truth, "neighbours": batch.neighbours, "small": batch.small}
        tensors = {
            "scale": torch.tensor(batch.scale),
            "degradation": batch.degradation,
            **{name: value.half() for name, value in exact.items()},
            **{name: (value.clamp(0, 1) * 255).round().to(torch.uint8) for name, value in levels.items()},
        }
        write_tensors(path, {STORED.get(name, name): value for name, value in tensors.items()})
    (out / INDEX).write_text(json.dumps({"seed": seed}) + "\n")


class DecodedBatches(Dataset[DecodedBatch]):
    """Kept batches, flipped and transposed; batch number k is a pure function of the seed and k."""

    def __init__(self, folder: Path, seed: int) -> None:
        if not (folder / INDEX).is_file():
            raise PatchVSRError(f"{folder} holds no decoded batches; run precompute with this --out first.")
        self.files, self.seed = sorted((folder / "batches").glob("*.safetensors")), seed

    def __getitem__(self, index: int) -> DecodedBatch:
        epoch, position = divmod(index, len(self.files))
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.files))
        flips = np.random.default_rng((self.seed, epoch, position)).random(4) < 0.5
        stored = load_file(str(self.files[order[position]]))
        tensors = {name: stored[STORED.get(name, name)] for name in DecodedBatch.__dataclass_fields__}
        scale, degradation = int(tensors.pop("scale")), tensors.pop("degradation")
        frames = {name: augment(name, value, flips) for name, value in tensors.items()}
        return DecodedBatch(scale=scale, degradation=degradation, **frames)


def augment(name: str, stored: Tensor, flips: np.ndarray) -> Tensor:
    """Frames as floats, flipped and transposed.

    Args:
        name: the field; of ``neighbours``, reversing time swaps the frame before and the one after.
        stored: (N, T, H, W, C), bytes or floats.
        flips: whether to reverse time, flip vertically, flip horizontally, swap height and width.
    """
    frames = stored.float() / 255 if stored.dtype == torch.uint8 else stored.float()
    in_time, vertically, horizontally, across = flips.tolist()
    axes = [axis for axis, wanted in ((1, in_time), (2, vertically), (3, horizontally)) if wanted]
    frames = frames.flip(axes) if axes else frames
    frames = frames.transpose(2, 3) if across else frames
    if name == "neighbours" and in_time:
        frames = frames.roll(3, dims=-1)
    return frames.contiguous()
