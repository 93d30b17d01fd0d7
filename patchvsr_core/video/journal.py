"""What is finished of a long job, beside its output, so that a stopped run goes on where it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import OutputError

NAMES = {
    "input": "the input file",
    "size": "the size of the result",
    "settings": "the settings",
    "weights": "the model or its weights",
    "chunks": "how the clip is cut into chunks",
    "encoder": "the encoder's quality or format",
    "version": "PatchVSR itself",
}


def unfinished(output: Path) -> dict[str, Any] | None:
    """What an unfinished run for ``output`` depends on; None when there is none."""
    record = folder_of(output) / "job.json"
    return json.loads(record.read_text()) if record.is_file() else None


def folder_of(output: Path) -> Path:
    """Where the journal of an output lies."""
    return output.with_name(f".{output.name}.patchvsr")


class Journal:
    """A hidden folder with one encoded piece per finished chunk, and the frames that the next one fades from.

    Args:
        output: the file that the job will make.
        suffix: of a piece.
        job: what the result depends on, as JSON values by the names in ``NAMES``.
        fresh: discard what an earlier run left.

    Raises:
        OutputError: when an earlier run was another job, naming the difference.
    """

    def __init__(self, output: Path, suffix: str, job: dict[str, Any], *, fresh: bool = False) -> None:
        self.folder = folder_of(output)
        self.suffix = suffix
        if fresh:
            self.remove()
        record = self.folder / "job.json"
        if record.is_file():
            self._check(output, json.loads(record.read_text()), job)
            return
        try:
            self.folder.mkdir(exist_ok=True)
            partial = record.with_suffix(".part")
            partial.write_text(json.dumps(job))
            partial.replace(record)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written ({error.strerror}); choose another place.") from error

    def _check(self, output: Path, found: dict[str, Any], job: dict[str, Any]) -> None:
        different = [name for name in job if found.get(name) != json.loads(json.dumps(job[name]))]
        if different:
            what = " and ".join(NAMES[name] for name in different)
            raise OutputError(
                f"An unfinished run for {output.name} exists, but {what} changed since; start again (--fresh), or "
                "choose another name for the result."
            )

    def piece(self, number: int) -> Path:
        """Where the encoded frames of a chunk are, or will be."""
        return self.folder / f"{number:06d}{self.suffix}"

    def is_done(self, number: int) -> bool:
        return self.piece(number).exists()

    def keep_tail(self, number: int, frames: Tensor | None) -> None:
        """Store the last frames of a chunk, for the next one to fade from; before its piece is written."""
        if frames is not None:
            partial = self._tail(number).with_suffix(".part")
            try:
                save_file({"frames": frames.contiguous()}, str(partial))
                partial.replace(self._tail(number))
            except (OSError, SafetensorError) as error:
                partial.unlink(missing_ok=True)
                raise OutputError(
                    f"{self.folder} cannot be written ({error}); free some space or choose another place."
                ) from error

    def tail(self, number: int) -> Tensor:
        return load_file(str(self._tail(number)))["frames"]

    def forget_tail(self, number: int) -> None:
        self._tail(number).unlink(missing_ok=True)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tail(self, number: int) -> Path:
        return self.folder / f"{number:06d}.tail"
