"""``doctor``: what it finds, and when it fails."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from command import call
from small_models import random_adapter, random_vae, random_wan, save

from patchvsr_core.__main__ import main
from patchvsr_core.adapter import BaseSpec, save_adapter
from patchvsr_core.cli import doctor
from patchvsr_core.weights import FOLDER, manifest


def run(*arguments: object, comfyui: Path | None = None) -> subprocess.CompletedProcess[str]:
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("COMFYUI_DIR", raising=False)
        if comfyui is not None:
            patched.setenv("COMFYUI_DIR", str(comfyui))
        return call("doctor", *arguments)


def test_all_is_well_on_a_machine_that_runs_the_tests() -> None:
    done = run("--device", "cpu")
    assert done.returncode == 0, done.stderr
    for words in (
        torch.__version__,
        "diffusers",
        "OpenCV",
        "PyAV",
        "runs on",
        "GiB free",
        "not GPU-checked",
        "COMFYUI_DIR",
    ):
        assert words in done.stdout
    for name in manifest()["files"]:
        assert f"{name} is as it shipped" in done.stdout
    assert " ! " not in done.stdout and done.stderr == ""


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    """A folder with one file of every kind."""
    models = tmp_path / "models"
    for name in ("diffusion_models/wan", "vae", "model_patches"):
        (models / name).mkdir(parents=True)
    save(random_wan(), models / "diffusion_models" / "wan" / "random.safetensors")
    (models / "diffusion_models" / "Wan2.1-Q4.gguf").write_bytes(b"GGUF")
    save(random_vae(), models / "vae" / "small_vae.safetensors")
    (models / "vae" / "broken.safetensors").write_bytes(b"nothing")
    save({"a": torch.zeros(1)}, models / "vae" / "other.safetensors")
    base = BaseSpec(channels=4, width=128, layers=2, ffn=64, text_dim=8)
    save_adapter(random_adapter(base), models / "model_patches" / "adapter.safetensors")
    shutil.copy(FOLDER / "dap_small.safetensors", models / "model_patches")
    return tmp_path


EXPECTED = {
    "random.safetensors": "Wan transformer",
    "Wan2.1-Q4.gguf": "Wan, by its name",
    "small_vae.safetensors": "Wan VAE",
    "broken.safetensors": "unreadable",
    "other.safetensors": "another model",
    "adapter.safetensors": "PatchVSR adapter",
    "dap_small.safetensors": "PatchVSR dap",
}


@pytest.mark.parametrize("how", ["option", "variable"])
def test_models_of_a_comfyui_are_told_apart(comfyui: Path, how: str) -> None:
    done = run("--comfyui", comfyui) if how == "option" else run(comfyui=comfyui)
    assert done.returncode == 0, done.stderr
    for name, kind in EXPECTED.items():
        (line,) = (line for line in done.stdout.splitlines() if f"{name}: " in line)
        assert f"{name}: {kind}" in line


def test_the_comfyui_around_the_pack_is_found(comfyui: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMFYUI_DIR", raising=False)
    package = comfyui / "custom_nodes" / "patchvsr" / "patchvsr_core"
    monkeypatch.setattr(doctor, "__file__", str(package / "cli" / "doctor.py"))
    found = [finding.text for finding in doctor._models(None)]
    assert str(comfyui) in found and any("adapter.safetensors" in text for text in found)


def test_what_was_asked_for_and_cannot_work_fails(tmp_path: Path) -> None:
    for arguments, words in (
        (("--device", "nonsense"), "Device 'nonsense' is not usable"),
        (("--comfyui", tmp_path), "has no folder models"),
    ):
        done = run(*arguments)
        assert done.returncode == 2 and done.stderr.startswith("patchvsr: 1 of the above")
        (line,) = (line for line in done.stdout.splitlines() if " ! " in line)
        assert words in line


def test_damaged_and_missing_weights_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(FOLDER, tmp_path / "weights")
    monkeypatch.setattr(doctor, "FOLDER", tmp_path / "weights")
    assert main(["doctor", "--device", "cpu"]) == 0
    names = list(json.loads((FOLDER / "manifest.json").read_text())["files"])
    (tmp_path / "weights" / names[0]).unlink()
    path = tmp_path / "weights" / names[1]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    capsys.readouterr()
    assert main(["doctor", "--device", "cpu"]) == 2
    said = capsys.readouterr()
    assert f"! {names[0]} is missing" in said.out and f"! {names[1]} is damaged" in said.out
    assert "2 of the above" in said.err


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda package: None if package in ("av", "OpenEXR") else "1")
    found = {finding.topic: finding for finding in doctor._packages()}
    assert found["PyAV"].broken and "pip install av" in found["PyAV"].text
    assert not found["OpenEXR (render passes)"].broken
