"""One run for one output: a lock that the system releases when the process ends, in whatever way.

The lock lies on a small hidden file beside the output, ``.<name>.patchvsr.lock``, which goes with the run. A process
that was killed leaves the file but no lock; the next run for that output takes the file over. Parts of one run share
that lock, and each holds another of its own.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
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
"""Windows locks bytes, and nobody else can read those: some beyond the text."""
MOST_PARTS = 2**16
"""Windows knows no shared locks: a whole run locks so many bytes, and every part one of them."""
TAKEN = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}
UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors of file systems without locks, such as some network shares."""

Taken = Callable[[str], OutputError]
"""Makes the error of a lock that is taken, of words on who holds it, which may be none."""


@contextmanager
def lock_target(output: Path) -> Iterator[None]:
    """Hold an output, a file or an image sequence, against all other runs; it need not exist yet.

    Where the file system has no locks, the run works without one, and a warning names the folder.

    Raises:
        OutputError: when another run holds it, or its folder is missing or read-only.
    """

    def taken(holder: str) -> OutputError:
        return OutputError(f"{output} is being written by another run{holder}; wait for it or choose another name.")

    with _held(output, lock_file_of(output), taken):
        yield


@contextmanager
def lock_part(output: Path, part: int) -> Iterator[None]:
    """Hold one part of an output against whole runs and against the same part, but not against the others.

    Args:
        part: its number, below :data:`MOST_PARTS`.

    Raises:
        OutputError: as :func:`lock_target`.
    """

    def whole(holder: str) -> OutputError:
        return OutputError(
            f"{output} is being written or joined by another run{holder}; wait for it or choose another name."
        )

    def same(holder: str) -> OutputError:
        return OutputError(
            f"Part {part} of {output} is being made by another run{holder}; wait for it or start another part."
        )

    with (
        _held(output, lock_file_of(output), whole, part=part),
        _held(output, lock_file_of(output, f"part{part}"), same),
    ):
        yield


@contextmanager
def lock_setup(output: Path) -> Iterator[None]:
    """Wait until no other part of an output is being set up, so that all of them begin from one record."""

    def taken(holder: str) -> OutputError:
        return OutputError(f"Other parts of {output} are being set up{holder}; start this one again.")

    with _held(output, lock_file_of(output, "setup"), taken, waits=True):
        yield


@contextmanager
def _held(output: Path, path: Path, taken: Taken, *, part: int = 0, waits: bool = False) -> Iterator[None]:
    """Hold a lock file.

    Args:
        taken: the error where somebody else holds it, given who that is.
        part: shares it with other parts; 0: with nobody.
        waits: for others that hold it.
    """
    try:
        if not path.parent.is_dir():
            raise OutputError(f"The folder {path.parent} does not exist; create it first.")
        descriptor = _take(path, output, taken, part, waits)
    except OSError as error:
        raise OutputError(f"{output.parent} cannot be written to ({error.strerror}); choose another folder.") from error
    try:
        yield
    finally:
        _release(descriptor, path, part)


def lock_file_of(output: Path, kind: str = "") -> Path:
    """The file that a run for an output locks; a folder and the pattern of its images share one.

    Args:
        kind: of a lock beside that of the whole output.

    Raises:
        OutputError: for a name that the file system cannot store.
    """
    check_name(output)
    target = (pattern(output) if is_sequence(output) else output).resolve()
    return hidden_beside(target, target.name, f".patchvsr.{kind}.lock" if kind else ".patchvsr.lock")


def _take(path: Path, output: Path, taken: Taken, part: int, waits: bool) -> int:
    """Open and lock the file; once more where the run that held it removed it meanwhile."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor, part, waits)
        except OSError as error:
            holder = _read_holder(descriptor)
            os.close(descriptor)
            if error.errno in TAKEN:
                raise taken(holder) from error
            if error.errno not in UNSUPPORTED:
                raise
            log.warning("%s has no file locks; start no second run for %s.", path.parent, output.name)
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if _is_same_file(descriptor, path):
            _write_holder(descriptor, part)
            return descriptor
        os.close(descriptor)


def _lock(descriptor: int, part: int = 0, waits: bool = False) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, LOCKED_BYTE + part, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_LOCK if waits else msvcrt.LK_NBLCK, 1 if part else MOST_PARTS)
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if part else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB))


def _release(descriptor: int, path: Path, part: int) -> None:
    """Remove the file while it is locked and nobody else shares it; Windows removes only what nobody has open."""
    if sys.platform == "win32":
        os.close(descriptor)
        with suppress(OSError):
            path.unlink()
        return
    with suppress(OSError):
        if part:
            _lock(descriptor)  # fails where another part holds it, which removes the file
        if _is_same_file(descriptor, path):
            path.unlink()
    os.close(descriptor)


def _write_holder(descriptor: int, part: int) -> None:
    with suppress(OSError):  # a full disk; the number is only for the message
        os.ftruncate(descriptor, 0)
        if part == 0:
            os.write(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode())


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
