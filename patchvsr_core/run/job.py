"""What a long job is: one file to make from another, and what its result depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..files import sha256
from ..finish.strength_map import StrengthMap
from ..plan.chunks import Chunk
from ..settings import Settings
from ..version import VERSION
from ..video.chunk_files import Encoding, keeps_premultiplied
from ..video.info import VideoInfo
from ..video.sequence import images, is_sequence


@dataclass(frozen=True)
class Job:
    """One file to make from another."""

    info: VideoInfo
    output: Path
    target: tuple[int, int]
    """(height, width) of the result."""
    settings: Settings | None
    """None for what has no choices: a real-time network."""
    chunk_frames: int
    overlap_frames: int
    """Frames in which successive chunks of a shot fade into one another."""
    encoding: Encoding = field(default=Encoding())
    fresh: bool = False
    """Discard what an unfinished run left."""
    strength: StrengthMap = field(default=StrengthMap())
    """How far the result may depart from the upsampled input; one map for all frames."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Tags to write into the file; the result does not depend on them."""
    precision: str = "float32"
    """In which the networks compute; see :func:`devices.precision_name`."""
    is_resumable: bool = True
    """Whether the same job may come again; if not, an unfinished run leaves nothing behind."""

    @property
    def is_premultiplied(self) -> bool:
        """Whether the colours that are upscaled are multiplied by alpha, as in an EXR."""
        return keeps_premultiplied(self.output, self.encoding.picture(self.info))


def identity(job: Job, chunks: tuple[Chunk, ...], weights: str) -> dict[str, Any]:
    """What the result depends on; see :data:`video.journal.NAMES`.

    Args:
        weights: names the model.
    """
    return {
        "input": _input_identity(job.info),
        "size": list(job.target),
        "settings": asdict(job.settings) if job.settings else {},
        "weights": weights,
        "precision": job.precision,
        "strength": job.strength.digest,
        "chunks": [job.chunk_frames, job.overlap_frames, [chunk.first for chunk in chunks]],
        "encoder": _encoder_identity(job),
        "version": VERSION,
    }


def _input_identity(info: VideoInfo) -> str:
    """Of the frames that are read: the file, the part of it, and what is done about interlacing."""
    files, fields, section = images(info.path) if is_sequence(info.path) else [info.path], info.fields, info.section
    filters = f" {fields.mode} {fields.parity} {fields.only_flagged}" if fields.filters else ""
    return sha256(*files) + filters + ("" if section.is_all else f" {section.begin} {section.end}")


def _encoder_identity(job: Job) -> list[Any]:
    """What chunks depend on: not the choice of audio, which is made when they are joined."""
    choices = {name: value for name, value in asdict(job.encoding).items() if name != "audio"}
    aspect = job.encoding.picture(job.info, job.target).pixel_aspect
    changed = [] if aspect == job.info.picture.pixel_aspect else [str(aspect)]
    return [choices, job.output.suffix, *changed]
