"""The kernels built as C++ behind a library that stands in for NVIDIA's driver; see emulation/driver.cpp."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from patchvsr_core.kernels.loading import SOURCES

HERE = Path(__file__).parent / "emulation"
COMPILER = next(filter(None, map(shutil.which, (os.environ.get("CXX") or "g++", "g++", "clang++"))), None)
FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-Wall", "-Wno-unknown-pragmas", "-shared", "-fPIC")


def names(text: str) -> list[str]:
    """Of the kernels in a source."""
    return re.findall(r"__global__ void (\w+)\(", text)


def build(folder: Path, changes: Mapping[str, str] | None = None) -> Path:
    """Compile all of csrc into a library.

    Args:
        changes: passages of the sources and what stands there instead: bugs, to see them found.
    """
    assert COMPILER is not None
    folder.mkdir(parents=True, exist_ok=True)
    lines, registered = [], []
    for source in sorted(SOURCES.glob("*.cu")):
        text = source.read_text(encoding="utf-8")
        for old, new in (changes or {}).items():
            text = text.replace(old, new)
        (folder / source.name).write_text(text, encoding="utf-8")
        lines.append(f'#include "{source.name}"')
        registered += [f'{{"{name}", wrap({name})}}' for name in names(text)]
    lines.append(f"#define REGISTERED {', '.join(registered)}")
    (folder / "kernels.inc").write_text("\n".join(lines) + "\n", encoding="utf-8")
    library = folder / "driver.so"
    subprocess.run([COMPILER, *FLAGS, f"-I{folder}", str(HERE / "driver.cpp"), "-o", str(library)], check=True)
    return library
