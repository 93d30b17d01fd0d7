"""Finished chunks on their way from one journal to another, for machines that share no folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import OutputError
from ..files import commit_file, commit_folder
from .journal import Journal

Parcel = dict[str, np.ndarray]
"""Contents of files as uint8, by their names within a folder."""


def pack_chunk(journal: Journal, number: int) -> Parcel:
    """A finished chunk: its file or files, what it leaves to the next one, and its seal."""
    return pack(journal.files_of(number), journal.folder)


def unpack_chunk(journal: Journal, parcel: Parcel) -> None:
    """Add a chunk to a journal of the same job, the seal last.

    Raises:
        OutputError: when it cannot be written.
    """
    try:
        for name in _in_order(parcel):
            files = {Path(inner).name: data for inner, data in parcel.items() if Path(inner).parts[0] == name}
            partial = journal.folder / f"{name}.part"
            if name in parcel:
                parcel[name].tofile(partial)
                commit_file(partial, journal.folder / name)
                continue
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            for inner, data in files.items():
                data.tofile(partial / inner)
            commit_folder(partial, journal.folder / name)
    except OSError as error:
        raise OutputError(
            f"{journal.folder} cannot be written ({error.strerror}); free some space or choose another folder."
        ) from error


def pack(files: Iterable[Path], folder: Path) -> Parcel:
    """Files of a folder, those of subfolders included."""
    found = [inner for file in files for inner in (sorted(file.iterdir()) if file.is_dir() else [file])]
    return {file.relative_to(folder).as_posix(): np.fromfile(file, np.uint8) for file in found}


def unpack(parcel: Parcel, folder: Path) -> None:
    """Write files where nobody else looks."""
    for name, data in parcel.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data.tofile(folder / name)


def _in_order(parcel: Parcel) -> list[str]:
    """Files and folders of a chunk; a chunk counts as finished once its seal is there."""
    names = {Path(name).parts[0] for name in parcel}
    return sorted(names, key=lambda name: (name.endswith(".seal"), name))
