"""The shipped weights and their manifest."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..files import sha256

FOLDER = Path(__file__).parent


def manifest() -> dict[str, Any]:
    """What ships: per file its sha256, size, origin, licence and the command that made it."""
    return json.loads((FOLDER / "manifest.json").read_text())


@lru_cache
def shipped(name: str) -> Path:
    """Path of a shipped file, checked against the manifest.

    Raises:
        ModelError: when it is missing or differs.
    """
    path = FOLDER / name
    if not path.is_file():
        raise ModelError(f"The shipped file {name} is missing; reinstall PatchVSR.")
    if sha256(path) != manifest()["files"][name]["sha256"]:
        raise ModelError(f"The shipped file {name} is damaged (its checksum differs); reinstall PatchVSR.")
    return path
