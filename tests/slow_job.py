"""A job of many small chunks, to be killed at any moment: ``python slow_job.py INPUT OUTPUT``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from torch import Tensor

from patchvsr_core.resample import resize
from patchvsr_core.run.job import Job
from patchvsr_core.run.video_job import upscale_file
from patchvsr_core.settings import TINY
from patchvsr_core.video import probe, scan
from patchvsr_core.video.target_lock import lock_target


def enlarge(frames: Tensor, target: tuple[int, int], *others: Any, noise: Any, chunk_state: Any = None) -> Tensor:
    time.sleep(0.1)
    return resize(frames, target).clamp(0, 1)


def main() -> None:
    source, output = map(Path, sys.argv[1:3])
    job = Job(probe(source), output, (64, 96), TINY, chunk_frames=6, overlap_frames=2)
    with lock_target(output):
        upscale_file(
            job,
            scan(source),
            None,  # type: ignore[arg-type]
            weights="",
            report=lambda *_: None,
            on_chunk=lambda number, total: print(number, flush=True),
            work=enlarge,
        )


if __name__ == "__main__":
    main()
