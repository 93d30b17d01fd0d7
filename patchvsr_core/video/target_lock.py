"""One run for one output: a lock that the system releases when the process ends, in whatever way.

The lock lies on a small hidden file beside the output, ``.<name>.patchvsr.lock``, which goes with the run. A process
that was killed leaves the file but no lock; the next run for that output takes the file over.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import OutputError, phrase
from .hidden_names import check_name, hidden_beside
from .sequence import is_sequence, pattern

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

log = logging.getLogger("patchvsr")
LOCKED_BYTE = 2**30
"""Windows locks bytes, and nobody else can read those: one beyond the text."""
TAKEN = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors of file systems without locks, such as some network shares."""


@contextmanager
def lock_target(output: Path) -> Iterator[None]:
    """Hold an output, a file or an image sequence, against all other runs; it need not exist yet.

    Where the file system has no locks, the run works without one, and a warning names the folder.

    Raises:
        OutputError: when another run holds it, or its folder is missing or read-only.
    """
    check_name(output)
    try:
        path = lock_file_of(output)
        if not path.parent.is_dir():
            raise OutputError(f"The folder {path.parent} does not exist; create it first.")
        descriptor = _take(path, output)
    except OSError as error:
        raise OutputError(f"{output.parent} cannot be written to ({error.strerror}); choose another folder.") from error
    try:
        yield
    finally:
        _release(descriptor, path)


def lock_file_of(output: Path) -> Path:
    """The file that a run for an output locks; a folder and the pattern of its images share one."""
    target = (pattern(output) if is_sequence(output) else output).resolve()
    return hidden_beside(target, target.name, ".patchvsr.lock")


def _take(path: Path, output: Path) -> int:
    """Open and lock the file; once more where the run that held it removed it meanwhile."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
        except OSError as error:
            holder = _read_holder(descriptor)
            os.close(descriptor)
            if error.errno in TAKEN:
                raise OutputError(
                    f"{output} is being written by another run{holder}; wait for it or choose another name."
                ) from error
            if error.errno not in UNSUPPORTED:
                raise
            log.warning("%s has no file locks; start no second run for %s.", path.parent, output.name)
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if _is_same_file(descriptor, path):
            with suppress(OSError):  # a full disk; the number is only for the message
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode())
            return descriptor
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _release(descriptor: int, path: Path) -> None:
    """Remove the file while it is locked; Windows removes only what nobody has open."""
    if sys.platform == "win32":
        os.close(descriptor)
        with suppress(OSError):
            path.unlink()
        return
    with suppress(OSError):
        if _is_same_file(descriptor, path):
            path.unlink()
    os.close(descriptor)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _read_holder(descriptor: int) -> str:
    """Which process holds the lock, as words for the message; "" where it has not written that yet."""
    with suppress(OSError, ValueError):
        number, _, host = os.read(descriptor, 300).decode(errors="replace").strip().partition(" ")
        is_elsewhere = host and host != socket.gethostname()
        return phrase(f" (process {int(number)}{f' on {host}' if is_elsewhere else ''})")
    return ""
