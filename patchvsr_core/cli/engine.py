"""What the command line lets upscale a file: patches and diffusion, or a real-time network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..plan.chunks import Chunk
from ..run.oom_backoff import Work
from ..settings import Settings
from ..video.chunk_files import Encoding


@dataclass(frozen=True)
class Cost:
    """Of a run."""

    seconds: float
    memory_bytes: int
    """Beside the weights."""
    details: tuple[tuple[str, str], ...]
    """What the work consists of, as (name, text)."""
    note: str = ""
    """A sentence that the user has to know."""


class Engine(Protocol):
    """Ready to work on one clip; the properties are what :func:`run.video_job.upscale_file` takes."""

    @property
    def models(self) -> Any:
        """Networks."""

    @property
    def settings(self) -> Settings | None:
        """What the user chose."""

    @property
    def identity(self) -> str:
        """Tells these networks from others."""

    @property
    def precision(self) -> str:
        """In which they compute."""

    @property
    def work(self) -> Work:
        """What is done with the frames of a chunk."""

    @property
    def carries_state(self) -> bool:
        """Whether chunks of a shot carry a state from one to the next, so that one process has to make them all."""

    def chunks(self, frames: int, length: int | None, overlap: int | None) -> tuple[int, int]:
        """(frames in a chunk, frames of overlap), as chosen or as memory allows."""

    def cost(self, chunks: Sequence[Chunk], output: Path, encoding: Encoding) -> Cost:
        """Measured on a small part of the work."""
