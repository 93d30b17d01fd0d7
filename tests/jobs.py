"""A job over a whole file, with something simple in place of the model."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from patchvsr_core.resample import resize
from patchvsr_core.run.job import Job
from patchvsr_core.run.video_job import upscale_file
from patchvsr_core.video.reader import scan
from patchvsr_core.video.sequence import is_sequence


def enlarge(frames: Tensor, target: tuple[int, int], *others: Any, noise: Any, chunk_state: Any = None) -> Tensor:
    """Stands in for the model."""
    return resize(frames, target).clamp(0, 1)


def run(job: Job, work: Any = enlarge, weights: str = "w") -> list[int]:
    """The chunks that were worked on."""
    seen: list[int] = []
    upscale_file(
        job,
        scan(job.info, strict=not is_sequence(job.info.path)),
        None,  # type: ignore[arg-type]
        weights=weights,
        report=lambda *_: None,
        on_chunk=lambda number, total: seen.append(number),
        work=work,
    )
    return seen[:-1]
