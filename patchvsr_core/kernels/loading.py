"""Kernels on their way to a device: loaded when first used, compared with the reference, and explained when not."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from .driver import Argument, Driver, DriverError, Function

log = logging.getLogger("patchvsr")

SOURCES = Path(__file__).parent / "csrc"
NAMESPACE = "patchvsr" if __name__.startswith("patchvsr_core.") else f"patchvsr_{zlib.crc32(__name__.encode()):08x}"
"""Of our operations in torch. A process can hold this package twice, as a node pack and installed; each has its own, as
a second definition of an operation would take the first one away."""
SWITCH = "PATCHVSR_KERNELS"
"""Environment variable; ``off`` leaves all work to torch's own operations."""
BLOCK = 256
MOST_BLOCKS = 65535
"""Along the second and the third axis of a grid."""

Launch = Callable[[str, tuple[int, int, int], Sequence[Argument]], None]
"""(kernel, cells along the three axes of the grid, arguments)."""


class CannotLaunch(Exception):
    """Why the reference does the work, as one clause."""


@dataclass(frozen=True)
class Loaded:
    """What became of a file of kernels on one device: kernels, or the reason why there are none."""

    functions: Mapping[str, Function]
    reason: str = ""


class KernelFile:
    """The kernels of one file in csrc, on every device that needs them.

    Args:
        name: of the file, without suffix.
        kernels: names of the kernels in it.
        compare: runs them on a device and returns how they differ from the reference, or nothing.
    """

    def __init__(self, name: str, kernels: Sequence[str], compare: Callable[[Launch, torch.device], str]) -> None:
        self.name, self.kernels, self._compare = name, tuple(kernels), compare
        self._on: dict[torch.device, Loaded] = {}
        self._lock = threading.RLock()

    def launcher(self, device: torch.device) -> Launch:
        """What launches them on the device's current stream.

        Raises:
            CannotLaunch: with the reason; the reference is to do the work.
        """
        loaded = self.on(device)
        if loaded.reason:
            raise CannotLaunch(loaded.reason)

        def launch(kernel: str, cells: tuple[int, int, int], arguments: Sequence[Argument]) -> None:
            try:
                _launch(loaded.functions[kernel], device, cells, arguments)
            except DriverError as error:
                self._on[_with_index(device)] = Loaded({}, str(error))
                raise CannotLaunch(str(error)) from error

        return launch

    def on(self, device: torch.device) -> Loaded:
        """Load them, once per device."""
        if os.environ.get(SWITCH, "").lower() == "off":
            return Loaded({}, f"{SWITCH}=off")
        device = _with_index(device)
        with self._lock:
            if device not in self._on:
                if _is_capturing(device):
                    return Loaded({}, "a CUDA graph is being captured, and kernels are loaded outside of one")
                self._on[device] = self._load(device)
            return self._on[device]

    def reset(self) -> None:
        """Load anew at the next use."""
        with self._lock:
            self._on.clear()
            driver.cache_clear()

    def _load(self, device: torch.device) -> Loaded:
        if torch.version.hip is not None:
            return Loaded({}, "the kernels are for NVIDIA GPUs, and this is ROCm")
        try:
            image = (SOURCES / f"{self.name}.ptx").read_bytes() + b"\0"
            module = driver().module(device.index or 0, image)
            functions = {name: module.function(name) for name in self.kernels}
            difference = self._compare(lambda name, *how: _launch(functions[name], device, *how), device)
        except (DriverError, OSError, RuntimeError) as error:  # RuntimeError: torch's own, short of memory
            return Loaded({}, str(error).partition("\n")[0])
        if difference:
            return Loaded({}, f"its first results differ from the reference: {difference}")
        return Loaded(functions)


def _launch(
    function: Function, device: torch.device, cells: tuple[int, int, int], arguments: Sequence[Argument]
) -> None:
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
    grid = -(-cells[0] // BLOCK), min(cells[1], MOST_BLOCKS), min(cells[2], MOST_BLOCKS)
    function.launch(grid, (BLOCK, 1, 1), stream, arguments)


@lru_cache(maxsize=1)
def driver() -> Driver:
    """The system's driver.

    Raises:
        DriverError: when it cannot be used.
    """
    return Driver()


def _with_index(device: torch.device) -> torch.device:
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _is_capturing(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


_logged: set[tuple[str, str]] = set()


def log_fallback(operation: str, reason: str) -> None:
    """Log why an operation is done by torch's own, once per reason."""
    if (operation, reason) not in _logged:
        _logged.add((operation, reason))
        log.warning(
            "PatchVSR's %s runs without its GPU kernel: %s. The result is the same, it takes longer.", operation, reason
        )


def needs_gradients(operation: str, *tensors: Tensor) -> bool:
    """Whether gradients are wanted, so that the reference has to do the work."""
    wanted = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    if wanted and tensors[0].device.type == "cuda" and not torch.compiler.is_compiling():
        log_fallback(operation, "gradients are wanted")
    return wanted


def is_dispatched(operation: str, tensor: Tensor) -> bool:
    """Whether torch is to choose: for compilers, stand-ins for tensors, and GPUs that have kernels.

    Elsewhere there is nothing to choose from, and the first call of an operation takes torch a second of imports.
    """
    kind = tensor.device.type
    if torch.compiler.is_compiling() or type(tensor) is not Tensor or kind in ("cuda", "meta"):
        return True
    if kind != "cpu":
        log_fallback(operation, f"kernels are for CUDA GPUs, not {kind}")
    return False


def pointer(tensor: Tensor) -> Argument:
    """Address of the first element."""
    return ctypes.c_void_p(tensor.data_ptr())


def integers(*values: int) -> list[Argument]:
    """As ``int``."""
    return [ctypes.c_int(value) for value in values]


def strides(tensor: Tensor) -> list[Argument]:
    """Elements from one to the next along every axis, as 64-bit integers."""
    return [ctypes.c_longlong(stride) for stride in tensor.stride()]


def number(value: float) -> Argument:
    """As ``float``."""
    return ctypes.c_float(value)
