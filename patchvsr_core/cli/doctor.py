"""What works here and what does not, on one page: ``python -m patchvsr_core doctor``."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

from ..devices import free_bytes, resolve_device
from ..errors import ModelError
from ..files import read_header, sha256
from ..kernels import kernel_status
from ..kernels.driver import Driver, DriverError, format_version
from ..version import VERSION
from ..weights import FOLDER, manifest

PACKAGES = {
    "diffusers": "diffusers",
    "numpy": "numpy",
    "OpenCV": "opencv-python",
    "PyAV": "av",
    "safetensors": "safetensors",
    "einops": "einops",
    "OpenEXR (render passes)": "OpenEXR",
}
OPTIONAL = ("OpenEXR (render passes)",)
OTHER_OPENCV = ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
"""Packages that bring the same module."""
MODEL_FOLDERS = ("diffusion_models", "unet", "vae", "model_patches")
"""Of ComfyUI's ``models``: where a Wan, its VAE, and adapters, refiners and real-time networks lie."""
SUFFIXES = (".safetensors", ".sft", ".gguf", ".pth", ".pt", ".ckpt", ".bin")
FOLDER_VARIABLE = "COMFYUI_DIR"
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the page."""

    topic: str
    text: str
    broken: bool = False
    """Whether it keeps runs from working."""


def examine(device: str = "auto", comfyui: str | None = None) -> Iterator[Finding]:
    """Look at everything a run depends on.

    Args:
        device: the one that runs would use.
        comfyui: folder of a ComfyUI; None: the one that ``COMFYUI_DIR`` names or that this pack lies in, if any.
    """
    yield Finding("PatchVSR", f"{VERSION}, Python {platform.python_version()} on {platform.platform(terse=True)}")
    yield from _devices()
    try:
        where = resolve_device(device)
        yield Finding("runs on", str(where))
    except ModelError as error:
        where = torch.device("cpu")
        yield Finding("runs on", str(error), broken=True)
    yield from _packages()
    for state in kernel_status(where):
        yield Finding("kernels", f"{state.name}: {state}")
    yield from _weights()
    yield from _space(where)
    yield from _models(comfyui)


def _devices() -> Iterator[Finding]:
    built = (
        f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}" if torch.version.hip else ""
    )
    yield Finding("torch", f"{torch.__version__}, {f'built for {built}' if built else 'built without CUDA or ROCm'}")
    try:
        yield Finding("driver", f"NVIDIA, for CUDA {format_version(Driver().version)}")
    except DriverError as error:
        yield Finding("driver", f"none of NVIDIA: {error}")
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        size = f"{facts.total_memory / GIB:.1f} GiB, compute {facts.major}.{facts.minor}"
        yield Finding("device", f"cuda:{index} {facts.name}, {size}")
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    yield Finding("device", f"cpu {platform.processor() or platform.machine()}, {cores}")


def _packages() -> Iterator[Finding]:
    for name, package in PACKAGES.items():
        found = _version(package) or next(filter(None, map(_version, OTHER_OPENCV if name == "OpenCV" else ())), None)
        missing = "missing" if name in OPTIONAL else f"missing; run pip install {package}"
        yield Finding(name, found or missing, broken=found is None and name not in OPTIONAL)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _weights() -> Iterator[Finding]:
    """The shipped ones, against their manifest."""
    for name, facts in manifest()["files"].items():
        path = FOLDER / name
        if not path.is_file():
            yield Finding("weights", f"{name} is missing; reinstall PatchVSR", broken=True)
        elif sha256(path) != facts["sha256"]:
            yield Finding("weights", f"{name} is damaged (its checksum differs); reinstall PatchVSR", broken=True)
        else:
            yield Finding("weights", f"{name} is as it shipped, {path.stat().st_size / 2**20:.1f} MiB")


def _space(used: torch.device) -> Iterator[Finding]:
    total = psutil.virtual_memory().total
    yield Finding("memory", f"{free_bytes(torch.device('cpu')) / GIB:.1f} of {total / GIB:.1f} GiB free")
    if used.type == "cuda":
        yield Finding("GPU memory", f"{free_bytes(used) / GIB:.1f} GiB free on {used}")
    here = Path.cwd()
    yield Finding("disk", f"{shutil.disk_usage(here).free / GIB:.1f} GiB free in {here}")


def _models(given: str | None) -> Iterator[Finding]:
    """Files in the model folders of a ComfyUI."""
    folder, named = _comfyui(given)
    if folder is None:
        yield Finding("ComfyUI", f"none around this pack; name its folder with --comfyui or {FOLDER_VARIABLE}")
        return
    if not (folder / "models").is_dir():
        yield Finding("ComfyUI", f"{folder} has no folder models; name the folder of a ComfyUI", broken=named)
        return
    yield Finding("ComfyUI", str(folder))
    if (folder / "extra_model_paths.yaml").is_file():
        yield Finding("ComfyUI", "extra_model_paths.yaml names more folders, which are not listed here")
    for name in MODEL_FOLDERS:
        place = folder / "models" / name
        files = sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES) if place.is_dir() else []
        for path in files:
            size = f"{path.stat().st_size / GIB:.2f} GiB"
            yield Finding(f"models/{name}", f"{path.relative_to(place)}: {kind_of(path)}, {size}")
        if not files and name != "unet":  # the old name of diffusion_models
            yield Finding(f"models/{name}", "no files")


def _comfyui(given: str | None) -> tuple[Path | None, bool]:
    """(folder, whether the user named it)."""
    if given or os.environ.get(FOLDER_VARIABLE):
        return Path(given or os.environ[FOLDER_VARIABLE]).expanduser(), True
    pack = Path(__file__).absolute().parents[2]
    return (pack.parents[1], False) if pack.parent.name == "custom_nodes" else (None, False)


def kind_of(path: Path) -> str:
    """What a file of weights is, by its metadata and the names of its tensors; else by its file name."""
    if path.suffix.lower() not in (".safetensors", ".sft"):
        return "Wan, by its name" if "wan" in path.name.lower() else "another model"
    try:
        header = read_header(path)
    except ModelError as error:
        return f"unreadable ({str(error.__cause__).partition(chr(10))[0]}); download it again"
    written, keys = header.metadata.get("format", ""), set(header.shapes)
    if written.startswith("patchvsr-"):
        return f"PatchVSR {written.removeprefix('patchvsr-').replace('-', ' ')}"
    if any(key.endswith(("blocks.0.cross_attn.norm_q.weight", "blocks.0.attn2.norm_q.weight")) for key in keys):
        return "Wan transformer"
    if keys >= {"decoder.middle.0.residual.0.gamma"} or keys >= {"decoder.mid_block.resnets.0.norm1.gamma"}:
        return "Wan VAE"
    return "another model"


def report(device: str = "auto", comfyui: str | None = None) -> None:
    """Print the page.

    Raises:
        ModelError: after the page, when something on it keeps runs from working.
    """
    broken = 0
    for finding in examine(device, comfyui):
        print(f"{finding.topic:24} {'! ' if finding.broken else ''}{finding.text}", flush=True)
        broken += finding.broken
    if broken:
        raise ModelError(
            f"{broken} of the above cannot work as it is; see the lines that begin with an exclamation mark."
        )
