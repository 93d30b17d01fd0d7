"""Journal of a long job, next to its output, so that an interrupted run resumes after its last finished chunk."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import OutputError, phrase
from ..files import commit_file
from ..settings import Settings, with_new_names
from .hidden_names import hidden_beside
from .seals import is_intact, seal_of

log = logging.getLogger("patchvsr")
RECORD = "job.json"
WAITING = "waiting"
FRAMES, STATE = "frames", "state "
"""Names of tensors in a tail file; the second one is a prefix."""
MOST_BYTES = 2**24
"""Of a record; the longest list in it has a number for every chunk."""
MOST_FRAMES = 10**9
NAMES = {
    "input": phrase("the input file, or what is done about its fields,"),
    "size": phrase("the size of the result"),
    "settings": phrase("the settings"),
    "weights": phrase("the model or its weights"),
    "precision": phrase("the precision of the networks"),
    "strength": phrase("the strength map"),
    "chunks": phrase("how the clip is split into chunks"),
    "encoder": phrase("the encoder's quality or format"),
    "version": phrase("PatchVSR itself"),
}


def read_unfinished(output: Path) -> dict[str, Any] | None:
    """Read what an unfinished run for ``output`` depends on.

    None when there is none, or its record is damaged or lacks something, as that of another version may.
    """
    found = read_json(folder_of(output) / RECORD)
    if not isinstance(found, dict) or not NAMES.keys() <= found.keys():
        return None
    if not isinstance(found["settings"], dict) or not _are_chunks(found["chunks"]):
        return None
    return {**found, "settings": with_new_names(Settings, found["settings"])}


def read_json(path: Path) -> Any:
    """What a file of a journal holds; None when it is missing, damaged, or far too large to be ours."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size <= MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None


def _are_chunks(found: Any) -> bool:
    """Whether a value can be [frames in a chunk, frames of overlap, [first frame of every chunk]]."""
    if not isinstance(found, list) or len(found) != 3 or not isinstance(found[2], list):
        return False
    if not all(type(number) is int and 0 <= number <= MOST_FRAMES for number in (*found[:2], *found[2])):
        return False
    return found[1] <= found[0] // 3 and found[0] > 0


def unfinished_chunks(output: Path) -> tuple[int, int] | None:
    """(chunk length, overlap) of an unfinished run, which it resumes with even if less memory is free now."""
    left = read_unfinished(output)
    return None if left is None else (left["chunks"][0], left["chunks"][1])


def folder_of(output: Path) -> Path:
    """The journal folder of an output."""
    output = output.resolve()
    return hidden_beside(output, output.name, ".patchvsr")


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
        self.output, self.suffix = output, suffix
        self._job = hashlib.blake2b(json.dumps(job, sort_keys=True).encode(), digest_size=32).digest()
        found = None if fresh else read_unfinished(output)
        if found is not None:
            self._check(output, found, job)
            return
        if not fresh and self.folder.exists():
            log.warning(
                "What an unfinished run left for %s is damaged or of another version; it is made anew.", output.name
            )
        self.remove()  # chunk files of unknown origin
        if self.folder.exists():
            raise OutputError(f"{self.folder} cannot be removed; close programs that use it, or choose another name.")
        record = self.folder / RECORD
        try:
            self.folder.mkdir(exist_ok=True)
            partial = record.with_suffix(".part")
            partial.write_text(json.dumps(job), encoding="utf-8")
            commit_file(partial, record)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written ({error.strerror}); choose another folder.") from error

    def _check(self, output: Path, found: dict[str, Any], job: dict[str, Any]) -> None:
        different = [name for name in job if found.get(name) != json.loads(json.dumps(job[name]))]
        if different:
            what = phrase(" and ").join(NAMES[name] for name in different)
            raise OutputError(
                f"An unfinished run for {output.name} exists, but {what} changed since",
                flag="start again (--fresh), or choose another name for the result",
                node="set when_unfinished to start again, or choose another filename_prefix",
            )

    def chunk_file(self, number: int) -> Path:
        """The file of a chunk's encoded frames."""
        return self.folder / f"{number:06d}{self.suffix}"

    def is_done(self, number: int) -> bool:
        """Whether a chunk is finished; see :meth:`is_intact`."""
        return self._seal_file(number).exists()

    def seal(self, number: int, *, with_tail: bool, is_waiting: bool = False) -> None:
        """Declare a chunk finished, whose file and tail are complete: their sizes and hashes are recorded.

        Args:
            is_waiting: its frames wait for those of the chunk before, see :meth:`save_waiting`.

        Raises:
            OutputError: when that cannot be written.
        """
        kept = {WAITING: self._waiting(number)} if is_waiting else {"chunk": self.chunk_file(number)}
        kept |= {"tail": self._tail(number)} if with_tail else {}
        partial = self._seal_file(number).with_suffix(".part")
        try:
            partial.write_text(json.dumps({name: seal_of(path, self._key(number)) for name, path in kept.items()}))
            commit_file(partial, self._seal_file(number))
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise OutputError(
                f"{self.folder} cannot be written ({error.strerror}); free some space or choose another folder."
            ) from error
        if not is_waiting:
            self._waiting(number).unlink(missing_ok=True)

    def is_intact(self, number: int) -> bool:
        """Whether a chunk's file is the one that was sealed."""
        return is_intact(self.chunk_file(number), self._seals(number).get("chunk"), self._key(number))

    def save_tail(self, number: int, frames: Tensor, state: Mapping[str, Tensor]) -> None:
        """Store what the next chunk of the shot needs; called before the chunk's file is written.

        Args:
            frames: the overlap with the next chunk; empty when chunks do not overlap.
            state: recurrent state, see :class:`plan.chunks.ChunkState`.
        """
        self._save(self._tail(number), {FRAMES: frames} | {f"{STATE}{name}": x for name, x in state.items()})

    def save_waiting(self, number: int, frames: Tensor) -> None:
        """Store all frames of a chunk as they are, until what the chunk before leaves is there too."""
        self._save(self._waiting(number), {FRAMES: frames})

    def is_waiting(self, number: int) -> bool:
        """Whether a chunk's frames are there and wait for those of the chunk before."""
        return is_intact(self._waiting(number), self._seals(number).get(WAITING), self._key(number))

    def waiting_frames(self, number: int) -> Tensor:
        """The frames that :meth:`save_waiting` stored."""
        with self._open(number, self._waiting(number)) as file:
            return file.get_tensor(FRAMES)

    def tail(self, number: int) -> Tensor:
        """The stored last frames of a chunk."""
        with self._open(number, self._tail(number)) as file:
            return file.get_tensor(FRAMES)

    def state(self, number: int) -> dict[str, Tensor]:
        """The stored recurrent state of a chunk."""
        with self._open(number, self._tail(number)) as file:
            return {name.removeprefix(STATE): file.get_tensor(name) for name in file.keys() if name != FRAMES}

    def has_tail(self, number: int) -> bool:
        """Whether the stored tail of a chunk is the one that was sealed."""
        return is_intact(self._tail(number), self._seals(number).get("tail"), self._key(number))

    def files_of(self, number: int) -> list[Path]:
        """What there is of a chunk."""
        files = self.chunk_file(number), self._waiting(number), self._tail(number), self._seal_file(number)
        return [file for file in files if file.exists()]

    def discard(self, number: int) -> None:
        """Delete a chunk's seal and file, so that it is processed again."""
        self._seal_file(number).unlink(missing_ok=True)
        self._waiting(number).unlink(missing_ok=True)
        self.discard_file(number)

    def discard_file(self, number: int) -> None:
        """Delete a chunk's file alone."""
        chunk_file = self.chunk_file(number)
        shutil.rmtree(chunk_file) if chunk_file.is_dir() else chunk_file.unlink(missing_ok=True)

    def discard_tail(self, number: int) -> None:
        self._tail(number).unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the journal, the record first, so that a crash in here leaves nothing to resume."""
        (self.folder / RECORD).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _save(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        partial = path.with_name(f"{path.name}.part")
        try:
            save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, str(partial))
            commit_file(partial, path)
        except (OSError, SafetensorError) as error:
            partial.unlink(missing_ok=True)
            raise OutputError(
                f"{self.folder} cannot be written ({error}); free some space or choose another folder."
            ) from error

    @contextmanager
    def _open(self, number: int, path: Path) -> Iterator[Any]:
        try:
            with safe_open(str(path), framework="pt") as file:
                yield file
        except (OSError, SafetensorError) as error:
            raise OutputError(
                f"What chunk {number + 1} of {self.output.name} left was deleted or changed during the run",
                flag="start the same command again",
                node="queue it again",
            ) from error

    def _tail(self, number: int) -> Path:
        return self.folder / f"{number:06d}.tail"

    def _waiting(self, number: int) -> Path:
        return self.folder / f"{number:06d}.{WAITING}"

    def _seal_file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.seal"

    def _seals(self, number: int) -> dict[str, Any]:
        found = read_json(self._seal_file(number))
        return found if isinstance(found, dict) else {}

    def _key(self, number: int) -> bytes:
        """Seals are of one chunk of one job."""
        return self._job + number.to_bytes(8, "little")
