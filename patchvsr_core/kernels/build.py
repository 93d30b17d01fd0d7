"""Compile the kernels: ``python -m patchvsr_core.kernels.build`` writes csrc/*.ptx anew; no GPU is needed.

NVRTC of CUDA 12.0 writes PTX 8.0, which drivers from 525 on load; a newer one writes PTX that they refuse.
``pip install nvidia-cuda-nvrtc-cu12==12.0.140`` brings it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCES = Path(__file__).parent / "csrc"
VERSION = (12, 0)
"""Of NVRTC; the same source gives the same bytes with it."""
OPTIONS = ("--gpu-architecture=compute_75", "--std=c++17", "--fmad=false")
LIBRARIES = {"win32": "bin/nvrtc64_120_0.dll"}
LIBRARY = "lib/libnvrtc.so.12"


class BuildError(Exception):
    """NVRTC is missing, of another version, or refuses the source."""


class Compiler:
    """NVRTC, from the wheel that the tests' requirements name.

    Raises:
        BuildError: when it is not installed.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec("nvidia.cuda_nvrtc") if importlib.util.find_spec("nvidia") else None
        folders = found.submodule_search_locations if found else None
        if not folders:
            raise BuildError("NVRTC is not installed; run pip install nvidia-cuda-nvrtc-cu12==12.0.140.")
        self._library = ctypes.CDLL(str(Path(folders[0]) / LIBRARIES.get(sys.platform, LIBRARY)))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = (major.value, minor.value)

    def ptx(self, source: Path) -> str:
        """The PTX text of a .cu file.

        Raises:
            BuildError: with the compiler's own words.
        """
        program = ctypes.c_void_p()
        self._call(
            "nvrtcCreateProgram", ctypes.byref(program), source.read_bytes(), source.name.encode(), 0, None, None
        )
        try:
            options = (ctypes.c_char_p * len(OPTIONS))(*map(str.encode, OPTIONS))
            with ThreadPoolExecutor(1) as aside:  # NVRTC leaves the calling thread with another locale
                failed = aside.submit(self._library.nvrtcCompileProgram, program, len(OPTIONS), options).result()
            if failed:
                raise BuildError(f"{source.name}: {self._text(program, 'ProgramLog')}")
            return self._text(program, "PTX")
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _text(self, program: ctypes.c_void_p, what: str) -> str:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, buffer)
        return buffer.value.decode()

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            raise BuildError(f"{name}: {self._library.nvrtcGetErrorString(code).decode()}")


def main() -> None:
    """Write the PTX of every source beside it."""
    compiler = Compiler()
    if compiler.version != VERSION:
        raise BuildError(f"This is NVRTC {compiler.version}, and what ships is built with {VERSION}.")
    for source in sorted(SOURCES.glob("*.cu")):
        text = compiler.ptx(source)
        source.with_suffix(".ptx").write_text(text, encoding="ascii", newline="\n")
        print(f"{source.with_suffix('.ptx').name}: {len(text)} characters")


if __name__ == "__main__":
    main()
