"""Temporary folders of Ray workers: removed when one ends, or by the next on the machine where it was killed."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
from pathlib import Path

import psutil

PREFIX = "patchvsr-worker-"


def make_worker_folder() -> Path:
    """A new folder of this process, which is removed at its end; those that killed ones left are removed now."""
    remove_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{_host()}-{os.getpid()}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def remove_abandoned() -> None:
    """Remove folders of processes of this machine that are gone.

    Containers may share the folder and not each other's processes; their names differ.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}{_host()}-*-*"):
        process = folder.name.rsplit("-", 2)[1]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _host() -> str:
    return "".join(letter for letter in socket.gethostname() if letter.isalnum())
