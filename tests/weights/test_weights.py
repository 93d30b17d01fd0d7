from __future__ import annotations

from pathlib import Path

import pytest

from patchvsr_core import weights
from patchvsr_core.errors import ModelError


def test_manifest_describes_what_ships() -> None:
    manifest = weights.manifest()
    files = {path.name for path in weights.FOLDER.glob("*.safetensors")}
    fast = {"dap_small.safetensors", "rdg_small.safetensors"}
    shipped = (
        fast
        | {"estimator.safetensors", "restorer.safetensors", "restorer_compressed.safetensors"}
        | {"restorer_crisp.safetensors"}
        | {f"tiny_{part}.safetensors" for part in ("base", "adapter", "refiner", "conditional")}
    )
    assert files == set(manifest["files"]) == shipped
    for name in files:
        assert weights.shipped(name).stat().st_size == manifest["files"][name]["bytes"]
    assert sum(entry["bytes"] for entry in manifest["files"].values()) <= 26 * 2**20
    assert {name for name, entry in manifest["files"].items() if "int8_of" in entry} == {
        "tiny_adapter.safetensors",
        "tiny_base.safetensors",
    }
    assert sum(manifest["files"][name]["bytes"] for name in fast) <= 2 * 2**20
    assert manifest["licence"] == "Apache-2.0"
    assert manifest["training"]["command"].startswith("python -m patchvsr_core.training train")
    assert all(source["licence"] and source["name"] for source in manifest["training"]["data"])


def test_damaged_weights_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in weights.FOLDER.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    weights.shipped.cache_clear()
    try:
        weights.shipped("tiny_refiner.safetensors")
        with (tmp_path / "tiny_base.safetensors").open("r+b") as file:
            file.seek(5000)
            file.write(b"damage")
        with pytest.raises(ModelError, match="reinstall"):
            weights.shipped("tiny_base.safetensors")
        (tmp_path / "tiny_adapter.safetensors").unlink()
        with pytest.raises(ModelError, match="missing"):
            weights.shipped("tiny_adapter.safetensors")
    finally:
        weights.shipped.cache_clear()
