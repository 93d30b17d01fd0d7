"""The two layouts of PyTorch's checkpoint files: a zip archive, and pickles one after the other."""

from __future__ import annotations

import mmap
import pickletools
import struct
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import IO, Any, cast

from ..errors import phrase
from .blocks import Blocks, MakeTensor, Storage
from .interpreter import interpret, refusal

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file that is no zip archive begins: torch.save before 1.6."""
PROTOCOL = 1001
SHARED = 2
"""All tensors together may be so many times as large as the file: one weight may have two names."""


def read_pickled(path: Path) -> Any:
    """Read a checkpoint: dictionaries, lists, numbers, text and tensors, on the CPU.

    Raises:
        ModelError: for a TorchScript or tar archive, and for a pickle that wants to call anything.
        Exception: of any kind for a damaged file.
    """
    if zipfile.is_zipfile(path):
        return _read_archive(path)
    with path.open("rb") as file:
        if file.read(len(LEGACY_MAGIC)) == LEGACY_MAGIC:
            return _read_legacy(path)
    if tarfile.is_tarfile(path):
        raise refusal(path, phrase("a tar archive of PyTorch before 0.1.10"))
    raise ValueError("neither PyTorch's format nor safetensors")


def _read_archive(path: Path) -> Any:
    """A zip archive, as torch.save has written since 1.6."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        inner = [entry.filename.partition("/")[2] for entry in entries]
        if any(name == "constants.pkl" or name.startswith("code/") for name in inner):
            raise refusal(path, phrase("a TorchScript archive"))
        size = path.stat().st_size
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is compressed, which PyTorch's files are not")
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("its parts are larger than the file")
        (program,) = (entry for entry in entries if entry.filename.endswith("/data.pkl"))
        folder = program.filename.removesuffix("data.pkl")
        _check_order(archive.read(f"{folder}byteorder") if "byteorder" in inner else b"little")

        def load(storage: Storage) -> bytes:
            return archive.read(f"{folder}data/{storage.key}")

        return interpret(path, pickletools.genops(archive.read(program)), Blocks(load, SHARED * size))


def _read_legacy(path: Path) -> Any:
    """Pickles one after the other, then the numbers: PyTorch before 1.6."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:

        def program(make: MakeTensor) -> Any:
            return interpret(path, pickletools.genops(cast("IO[bytes]", data)), make)

        data.seek(len(LEGACY_MAGIC))
        if program(_no_tensor) != PROTOCOL:
            raise ValueError("an unknown version of PyTorch's format")
        program(_no_tensor)  # sizes of types where it was written
        start, storages = data.tell(), dict[str, Storage]()
        program(lambda storage, *view: storages.setdefault(storage.key, storage))
        blocks = {}
        for key in program(_no_tensor):
            if struct.unpack("<q", data.read(8)) != (storages[key].length,):
                raise ValueError(f"the length of {key} differs")
            blocks[key] = data.read(storages[key].length * storages[key].dtype.itemsize)
        data.seek(start)
        return program(Blocks(lambda storage: blocks[storage.key], SHARED * len(data)))


def _check_order(order: bytes) -> None:
    if order.decode() != sys.byteorder:
        raise ValueError("it was written on a machine of another byte order")


def _no_tensor(*_: Any) -> Any:
    raise ValueError("a tensor where none belongs")
