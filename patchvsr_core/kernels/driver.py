"""The few functions of NVIDIA's driver that load a kernel and launch it, through ctypes.

The driver is there wherever torch finds a CUDA GPU; no toolkit, compiler or package is needed. It compiles PTX for the
GPU at hand when a module is loaded (and keeps the result on disk).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

OLDEST = 12000
"""CUDA version of drivers 525, the first that load our PTX."""
LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
LIBRARY_VARIABLE = "PATCHVSR_CUDA_DRIVER"
"""Environment variable with the path of another driver library, for tests and unusual systems."""
ERROR_LOG, ERROR_LOG_BYTES = 5, 6
"""CU_JIT_ERROR_LOG_BUFFER and its size."""
LOG_BYTES = 4096
Argument = Any
"""A ctypes value; pointers are c_void_p."""


class DriverError(Exception):
    """Why the driver does not do it, as one clause."""


class Driver:
    """An initialised driver library.

    Args:
        path: of the library; None for the system's own.

    Raises:
        DriverError: when there is none, or it is too old.
    """

    def __init__(self, path: str | None = None) -> None:
        path = path or os.environ.get(LIBRARY_VARIABLE) or LIBRARY
        try:
            self._library = ctypes.CDLL(path)
        except OSError as error:
            raise DriverError(f"NVIDIA's driver library {path} cannot be loaded ({error})") from error
        self._call("cuInit", 0)
        version = ctypes.c_int()
        self._call("cuDriverGetVersion", ctypes.byref(version))
        self.version = version.value
        if self.version < OLDEST:
            raise DriverError(f"the driver is for CUDA {format_version(self.version)}; update it to 525 or newer")

    def module(self, device: int, ptx: bytes) -> Module:
        """Compile PTX for a device and load it.

        Raises:
            DriverError: with the driver's own words.
        """
        handle, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(handle), device)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), handle)
        module = ctypes.c_void_p()
        log = ctypes.create_string_buffer(LOG_BYTES)
        options = (ctypes.c_int * 2)(ERROR_LOG, ERROR_LOG_BYTES)
        values = (ctypes.c_void_p * 2)(ctypes.addressof(log), LOG_BYTES)
        with self._current(context):
            try:
                self._call("cuModuleLoadDataEx", ctypes.byref(module), ctypes.c_char_p(ptx), 2, options, values)
            except DriverError as error:
                details = log.value.decode(errors="replace").strip().replace("\n", "; ")
                raise DriverError(f"{error}{f': {details}' if details else ''}") from error
        return Module(self, context, module)

    @contextmanager
    def _current(self, context: ctypes.c_void_p) -> Iterator[None]:
        """Within, ``context`` is the calling thread's; torch's own comes back after."""
        self._call("cuCtxPushCurrent_v2", context)
        try:
            yield
        finally:
            self._library.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))

    def _call(self, name: str, *arguments: Argument) -> None:
        try:
            code = getattr(self._library, name)(*arguments)
        except AttributeError as error:
            raise DriverError(f"the driver has no {name}; update it to 525 or newer") from error
        if code:
            raise DriverError(f"{name} failed with {self._describe(code)}")

    def _describe(self, code: int) -> str:
        text = ctypes.c_char_p()
        self._library.cuGetErrorName(code, ctypes.byref(text))
        return f"error {code}" + (f" ({text.value.decode()})" if text.value else "")


class Module:
    """Kernels on one device."""

    def __init__(self, driver: Driver, context: ctypes.c_void_p, handle: ctypes.c_void_p) -> None:
        self._driver, self._context, self._handle = driver, context, handle

    def function(self, name: str) -> Function:
        """The kernel of that name.

        Raises:
            DriverError: when the module has none.
        """
        handle = ctypes.c_void_p()
        with self._driver._current(self._context):
            self._driver._call("cuModuleGetFunction", ctypes.byref(handle), self._handle, name.encode())
        return Function(self, handle)


class Function:
    """A kernel, ready to be launched."""

    def __init__(self, module: Module, handle: ctypes.c_void_p) -> None:
        self._module, self._handle = module, handle

    def launch(
        self, grid: tuple[int, int, int], block: tuple[int, int, int], stream: int, arguments: Sequence[Argument]
    ) -> None:
        """Queue it on a stream; ``arguments`` are in the kernel's own order and of its own types.

        Raises:
            DriverError: when it cannot be queued.
        """
        driver = self._module._driver
        pointers = (ctypes.c_void_p * len(arguments))(*[ctypes.addressof(argument) for argument in arguments])
        with driver._current(self._module._context):
            driver._call("cuLaunchKernel", self._handle, *grid, *block, 0, ctypes.c_void_p(stream), pointers, None)


def format_version(number: int) -> str:
    """12040 as 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"
