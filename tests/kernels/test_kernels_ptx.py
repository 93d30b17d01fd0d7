"""What ships is what the sources give: the same PTX again, for drivers from 525 on, fit for every GPU since Turing."""

from __future__ import annotations

import ctypes
import locale
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import emulated
import pytest
import torch

from patchvsr_core.kernels import build, launch
from patchvsr_core.kernels.launch import BLEND, WARP
from patchvsr_core.kernels.loading import SOURCES

FILES = sorted(SOURCES.glob("*.cu"))
GPUS = (75, 80, 86, 89, 90, 100, 120)
SIZES = {".u64": 8, ".u32": 4, ".f32": 4}


@pytest.fixture(scope="module")
def compiler() -> build.Compiler:
    try:
        compiler = build.Compiler()
    except build.BuildError as error:
        pytest.skip(f"{error}")
    if compiler.version != build.VERSION:
        pytest.skip(f"needs NVRTC {build.VERSION}, and this is {compiler.version}")
    return compiler


@pytest.mark.parametrize("source", FILES, ids=lambda path: path.stem)
def test_ptx_is_built_from_the_source(compiler: build.Compiler, source: Path) -> None:
    assert compiler.ptx(source) == source.with_suffix(".ptx").read_text(encoding="ascii")


def test_compiling_leaves_the_language_of_the_process_alone(compiler: build.Compiler) -> None:
    before = locale.getpreferredencoding(False)
    compiler.ptx(FILES[0])
    assert locale.getpreferredencoding(False) == before


def test_the_compiler_says_what_is_wrong(compiler: build.Compiler, tmp_path: Path) -> None:
    broken = tmp_path / "broken.cu"
    broken.write_text('extern "C" __global__ void broken() { nothing; }')
    with pytest.raises(build.BuildError, match=r"broken.cu.*nothing"):
        compiler.ptx(broken)


def entries(ptx: str) -> dict[str, list[int]]:
    """Bytes of every argument, by kernel."""
    found = re.findall(r"\.visible \.entry (\w+)\(([^)]*)\)", ptx)
    return {name: [SIZES[kind] for kind in re.findall(r"\.param (\.\w+)", given)] for name, given in found}


def test_drivers_since_525_take_it_and_every_kernel_is_there() -> None:
    for file in (BLEND, WARP):
        ptx = (SOURCES / f"{file.name}.ptx").read_text(encoding="ascii")
        major, minor = map(int, re.search(r"\.version (\d+)\.(\d+)", ptx).groups())
        assert (major, minor) <= (8, 0) and ".target sm_75" in ptx
        assert (
            sorted(entries(ptx))
            == sorted(file.kernels)
            == sorted(emulated.names((SOURCES / f"{file.name}.cu").read_text()))
        )


def test_arguments_have_the_sizes_that_the_kernels_declare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted at every launch that the comparison makes; nothing is launched, and no difference minded."""
    packed: dict[str, list[int]] = {}

    def note(kernel: str, cells: tuple[int, int, int], arguments: Sequence[Any]) -> None:
        packed[kernel] = [ctypes.sizeof(argument) for argument in arguments]

    monkeypatch.setattr(launch, "_largest", lambda difference: 0.0)
    for compare in (launch.compare_mix, launch.compare_blend):
        assert compare(note, torch.device("cpu")) == ""
    declared = {name: sizes for path in SOURCES.glob("*.ptx") for name, sizes in entries(path.read_text()).items()}
    assert packed == declared


def test_sources_need_no_header_and_no_type_of_changing_size() -> None:
    for source in FILES:
        code = re.sub(r"//.*", "", source.read_text(encoding="utf-8"))
        assert "#include" not in code
        assert not re.search(r"\blong\b(?! long)(?<!long long)", code), source.name


@pytest.mark.skipif(shutil.which("ptxas") is None, reason="needs ptxas, of the CUDA toolkit")
@pytest.mark.parametrize("gpu", GPUS)
def test_gpus_are_assembled_for_without_spills(gpu: int, tmp_path: Path) -> None:
    for path in SOURCES.glob("*.ptx"):
        command = ["ptxas", "-v", f"-arch=sm_{gpu}", str(path), "-o", str(tmp_path / "out.cubin")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if "not defined for option 'gpu-name'" in done.stderr:
            pytest.skip(f"this ptxas does not know sm_{gpu}")
        assert done.returncode == 0, done.stderr
        spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
        assert len(spills) == len(entries(path.read_text())) and set(spills) == {("0", "0", "0")}


def test_they_travel_with_the_package() -> None:
    text = (SOURCES.parents[2] / "pyproject.toml").read_text()
    for suffix in ("cu", "ptx"):
        assert f'"kernels/csrc/*.{suffix}"' in text
