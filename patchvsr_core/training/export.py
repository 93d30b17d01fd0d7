"""Writes the averaged weights of a run as the files that the product loads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import PatchVSRError
from ..files import sha256
from .config import TrainConfig
from .registry import find_task
from .state import read_state


def export_run(config: TrainConfig, run: Path, target: Path, base: Path | None = None) -> None:
    """Write what a run has learned.

    Args:
        run: the folder of its state.
        target: the folder to write to; the file, where the task has a ``weights_file``.
        base: file or folder of the frozen base, whose hash goes into an adapter's metadata.

    Raises:
        PatchVSRError: when the run has no state yet.
    """
    checkpoint = run / "state.pt"
    if not checkpoint.is_file():
        raise PatchVSRError(f"There is no training state at {checkpoint}; train first, or name the run's folder.")
    task = find_task(config.task)
    (target.parent if task.weights_file else target).mkdir(parents=True, exist_ok=True)
    task.export(config, read_state(checkpoint)["average"], target, base)


def update_manifest(folder: Path, config: TrainConfig, key: str = "config") -> None:
    """Record the weight files of a folder, and under ``key`` what they were trained with.

    What people wrote into the manifest (origin, licence) stays.
    """
    path = folder / "manifest.json"
    manifest: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    manifest["files"] = {
        file.name: {"sha256": sha256(file), "bytes": file.stat().st_size}
        for file in sorted(folder.glob("*.safetensors"))
    }
    manifest[key] = asdict(config)
    path.write_text(json.dumps(manifest, indent=2) + "\n")
