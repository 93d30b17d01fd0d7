"""Peak memory against the length of a clip: a table for clips of one size and growing length.

Bicubic enlargement stands in for the model, so that thousands of frames take minutes; reading,
chunks, fading, encoding and joining are the product's own.

    python benchmarks/flat_memory.py --frames 40 400 4000
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from patchvsr_core.long import Job, upscale_file
from patchvsr_core.memory import keep_flat
from patchvsr_core.resample import resize
from patchvsr_core.settings import TINY
from patchvsr_core.video import VideoWriter, probe, scan


def make_clip(path: Path, frames: int, size: tuple[int, int]) -> None:
    """A pattern that drifts."""
    picture = np.random.default_rng(0).random((size[0] // 8, size[1] // 8, 3), dtype=np.float32)
    large = torch.from_numpy(np.kron(picture, np.ones((8, 8, 1), np.float32)))
    with VideoWriter(path, size, range(frames), Fraction(1, 25), fps=Fraction(25)) as writer:
        for k in range(frames):
            writer.write(large.roll(k % size[1], dims=1)[None])


def enlarge(frames: Tensor, target: tuple[int, int], *others: Any, noise: Any, relay: Any) -> Tensor:
    return resize(frames, target).clamp(0, 1)


def run(path: Path, scale: int) -> None:
    """One job in this process; prints its peak memory in MiB and the seconds it took."""
    keep_flat()
    info = probe(path)
    target = info.height * scale, info.width * scale
    job = Job(info, path.with_suffix(".out.mp4"), target, TINY, chunk_frames=21, overlap_frames=2, fresh=True)
    start = time.monotonic()
    upscale_file(job, scan(path), None, weights="", report=lambda *_: None, work=enlarge)  # type: ignore[arg-type]
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.monotonic() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[40, 400, 4000])
    parser.add_argument("--size", type=int, nargs=2, default=[270, 480], help="height and width of the input")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run(options.one, options.scale)
        return
    print(f"{'frames':>8} {'peak MiB':>10} {'x':>6} {'s':>8}")
    first = None
    with tempfile.TemporaryDirectory() as folder:
        for frames in options.frames:
            path = Path(folder) / f"{frames}.mp4"
            make_clip(path, frames, tuple(options.size))
            command = [sys.executable, __file__, "--one", str(path), "--scale", str(options.scale)]
            peak, seconds = map(
                float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            )
            first = first or peak
            print(f"{frames:>8} {peak:>10.0f} {peak / first:>6.2f} {seconds:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
