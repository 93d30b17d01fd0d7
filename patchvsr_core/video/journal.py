"""Journal of a long job, next to its output, so that an interrupted run resumes after its last finished chunk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import OutputError
from ..files import commit_file
from ..settings import Settings, with_new_names

RECORD = "job.json"
FRAMES, STATE = "frames", "state "
"""Names of tensors in a tail file; the second one is a prefix."""
NAMES = {
    "input": "the input file",
    "size": "the size of the result",
    "settings": "the settings",
    "weights": "the model or its weights",
    "chunks": "how the clip is split into chunks",
    "encoder": "the encoder's quality or format",
    "version": "PatchVSR itself",
}


def read_unfinished(output: Path) -> dict[str, Any] | None:
    """Read what an unfinished run for ``output`` depends on; None when there is none, or its record is damaged."""
    try:
        found = json.loads((folder_of(output) / RECORD).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not NAMES.keys() <= found.keys():
        return None
    return {**found, "settings": with_new_names(Settings, found["settings"])}


def unfinished_chunks(output: Path) -> tuple[int, int] | None:
    """(chunk length, overlap) of an unfinished run, which it resumes with even if less memory is free now."""
    left = read_unfinished(output)
    return None if left is None else (left["chunks"][0], left["chunks"][1])


def folder_of(output: Path) -> Path:
    """The journal folder of an output."""
    output = output.resolve()
    return output.with_name(f".{output.name}.patchvsr")


class Journal:
    """A hidden folder with one encoded file per finished chunk, and the state that the next chunk continues from.

    Args:
        output: the output of the job.
        suffix: of chunk files.
        job: what the result depends on, as JSON values by the names in ``NAMES``.
        fresh: discard an earlier run.

    Raises:
        OutputError: when an earlier run was a different job, naming the difference.
    """

    def __init__(self, output: Path, suffix: str, job: dict[str, Any], *, fresh: bool = False) -> None:
        self.folder = folder_of(output)
        self.suffix = suffix
        found = None if fresh else read_unfinished(output)
        if found is not None:
            self._check(output, found, job)
            return
        self.remove()  # chunk files of unknown origin
        if self.folder.exists():
            raise OutputError(f"{self.folder} cannot be removed; close programs that use it, or choose another name.")
        record = self.folder / RECORD
        try:
            self.folder.mkdir(exist_ok=True)
            partial = record.with_suffix(".part")
            partial.write_text(json.dumps(job))
            commit_file(partial, record)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written ({error.strerror}); choose another folder.") from error

    def _check(self, output: Path, found: dict[str, Any], job: dict[str, Any]) -> None:
        different = [name for name in job if found.get(name) != json.loads(json.dumps(job[name]))]
        if different:
            what = " and ".join(NAMES[name] for name in different)
            raise OutputError(
                f"An unfinished run for {output.name} exists, but {what} changed since; start again (--fresh), or "
                "choose another name for the result."
            )

    def chunk_file(self, number: int) -> Path:
        """The file of a chunk's encoded frames."""
        return self.folder / f"{number:06d}{self.suffix}"

    def is_done(self, number: int) -> bool:
        return self.chunk_file(number).exists()

    def save_tail(self, number: int, frames: Tensor, state: Mapping[str, Tensor]) -> None:
        """Store what the next chunk of the shot needs; called before the chunk's file is written.

        Args:
            frames: the overlap with the next chunk; empty when chunks do not overlap.
            state: recurrent state, see :class:`plan.chunks.ChunkState`.
        """
        partial = self._tail(number).with_name(f"{self._tail(number).name}.part")
        tensors = {FRAMES: frames} | {f"{STATE}{name}": x for name, x in state.items()}
        try:
            save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, str(partial))
            commit_file(partial, self._tail(number))
        except (OSError, SafetensorError) as error:
            partial.unlink(missing_ok=True)
            raise OutputError(
                f"{self.folder} cannot be written ({error}); free some space or choose another folder."
            ) from error

    def tail(self, number: int) -> Tensor:
        """The stored last frames of a chunk."""
        with safe_open(str(self._tail(number)), framework="pt") as file:
            return file.get_tensor(FRAMES)

    def state(self, number: int) -> dict[str, Tensor]:
        """The stored recurrent state of a chunk."""
        with safe_open(str(self._tail(number)), framework="pt") as file:
            return {name.removeprefix(STATE): file.get_tensor(name) for name in file.keys() if name != FRAMES}

    def has_tail(self, number: int) -> bool:
        """Whether the stored tail of a chunk is readable."""
        try:
            self.tail(number)
        except (OSError, SafetensorError, KeyError):
            return False
        return True

    def discard(self, number: int) -> None:
        """Delete a chunk's file, so that it is processed again."""
        chunk_file = self.chunk_file(number)
        shutil.rmtree(chunk_file) if chunk_file.is_dir() else chunk_file.unlink(missing_ok=True)

    def discard_tail(self, number: int) -> None:
        self._tail(number).unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the journal, the record first, so that a crash in here leaves nothing to resume."""
        (self.folder / RECORD).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tail(self, number: int) -> Path:
        return self.folder / f"{number:06d}.tail"
