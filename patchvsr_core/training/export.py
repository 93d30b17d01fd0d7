"""Writes the averaged weights of a run as the files that the product loads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import PatchVSRError
from ..files import read_header, sha256, store_as_int8
from .config import TrainConfig
from .discriminator import without_discriminator
from .registry import find_task
from .state import read_state


@dataclass(frozen=True)
class Blend:
    """Another run to meet half way: what lies between two runs of one origin is a network, too.

    Source: network interpolation, Wang et al., ESRGAN (ECCV workshops 2018).
    """

    run: Path
    """The folder of its state."""
    share: float = 0.5
    """Of the run that is exported, 0 to 1; the rest is the other's."""
    onto: Path | None = None
    """A third run that learned on from this one, perhaps with more blocks: what the exported run learned beside it is
    added to its weights. Source: task arithmetic, Ilharco et al. (ICLR 2023)."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise PatchVSRError(f"A share of {self.share} is out of range; give --share between 0 and 1.")


def export_run(
    config: TrainConfig, run: Path, target: Path, base: Path | None = None, blend: Blend | None = None
) -> None:
    """Write what a run has learned.

    Args:
        run: the folder of its state.
        target: the folder to write to; the file, where the task has a ``weights_file``.
        base: file or folder of the frozen base, whose hash goes into an adapter's metadata.
        blend: the weights lie between those of two runs.

    Raises:
        PatchVSRError: when a run has no state yet, or the two trained networks of other sizes.
    """
    task = find_task(config.task)
    average = _read_average(run)
    if blend is not None:
        other, own = (without_discriminator(weights) for weights in (_read_average(blend.run), average))
        third = other if blend.onto is None else without_discriminator(_read_average(blend.onto))
        average = _add_difference(third, other, own, blend.share)
    (target.parent if task.weights_file else target).mkdir(parents=True, exist_ok=True)
    task.export(config, average, target, base)


def _read_average(run: Path) -> dict[str, Tensor]:
    checkpoint = run / "state.pt"
    if not checkpoint.is_file():
        raise PatchVSRError(f"There is no training state at {checkpoint}; train first, or name the run's folder.")
    average: dict[str, Tensor] = read_state(checkpoint)["average"]
    return average


def _add_difference(
    onto: dict[str, Tensor], first: dict[str, Tensor], second: dict[str, Tensor], share: float
) -> dict[str, Tensor]:
    """A share of what the second differs from the first in, added to a third; which may be the first."""
    sizes, other, third = ({name: value.shape for name, value in weights.items()} for weights in (first, second, onto))
    if sizes != other or not sizes.items() <= third.items():
        raise PatchVSRError("The runs trained networks of other sizes; blend runs of one configuration.")
    change = {name: share * (second[name].float() - value.float()) for name, value in first.items()}
    return {name: value.float() + change.get(name, 0.0) for name, value in onto.items()}


def compress(files: Sequence[Path], target: Path) -> None:
    """Write exported weights again with their large matrices as 8-bit integers, about half as large.

    Args:
        target: the folder to write to; it may be that of the files. A manifest in it is brought up to date.

    Raises:
        PatchVSRError: when a file holds no large matrices in one precision.
    """
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        store_as_int8(file, target / file.name)
    path = target / "manifest.json"
    if path.is_file():
        _write_manifest(path, json.loads(path.read_text()))


def update_manifest(folder: Path, config: TrainConfig, key: str = "config") -> None:
    """Record the weight files of a folder, and under ``key`` what they were trained with.

    What people wrote into the manifest (origin, licence) stays.
    """
    path = folder / "manifest.json"
    manifest: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    manifest[key] = asdict(config)
    _write_manifest(path, manifest)


def _write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """With the files as they are now."""
    manifest["files"] = {file.name: _entry(file) for file in sorted(path.parent.glob("*.safetensors"))}
    path.write_text(json.dumps(manifest, indent=2) + "\n")


def _entry(file: Path) -> dict[str, Any]:
    entry = {"sha256": sha256(file), "bytes": file.stat().st_size}
    stored = read_header(file).int8
    return entry if stored is None else {**entry, "int8_of": stored.source}
