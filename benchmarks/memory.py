"""Peak memory against the size of the result, and against the length of a clip; every run in its own process.

Against size the tiny default upscales a clip by 4, and what the product expects to need stands beside. Against length
bicubic enlargement stands in for the model, so that thousands of frames take minutes; reading, chunks, fading, encoding
and joining are the product's own.

    python benchmarks/memory.py
    python benchmarks/memory.py --parts size --device cuda
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from measuring import (
    MIB,
    OUT_OF_MEMORY,
    Column,
    Records,
    add_common,
    fits,
    named,
    parsed,
    peak_bytes,
    progress,
    publish,
    size,
    timed,
)

from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.resample import resize
from patchvsr_core.run.cost import run_memory
from patchvsr_core.run.job import Job
from patchvsr_core.run.malloc import tune_malloc
from patchvsr_core.run.video_job import upscale_file
from patchvsr_core.settings import TINY
from patchvsr_core.stages import make_plan
from patchvsr_core.video import VideoWriter, probe, scan

CLIP = "clip.mp4"
SCALE = 4
LENGTH_SCALE = 2
NOTES = (
    "Process: the most that the whole process held, Python and libraries included. Beyond weights: the peak above what "
    "was held when weights and clip were there, on the device that did the work. Expected: what "
    "patchvsr_core.run.cost.run_memory says for the same plan. Against length: chunks of 21 frames, bicubic in "
    "place of the model."
)
KILLED = -9
"""What the system's keeper of memory does to a process that takes too much."""


def of_size(target: tuple[int, int], frames: int, device: str, folder: Path) -> dict[str, Any]:
    """The tiny default in this process."""
    models = load_models("tiny", device=device)
    upscale(torch.rand(1, 16, 16, 3), (64, 64), models, models.defaults)  # libraries get what they keep
    source = target[0] // SCALE, target[1] // SCALE
    clip = torch.rand(frames, *source, 3, device=device)
    plan = make_plan(frames, source, target, models, models.defaults)
    row: dict[str, Any] = {"expected": run_memory(plan, models.networks, models.defaults).peak / MIB}
    seconds: list[float] = []

    def work() -> None:
        seconds.append(timed(partial(upscale, clip, target, models, models.defaults))[0])

    with fits(row, "beyond"):
        row["beyond"] = peak_bytes(work, device) / MIB
        row["seconds"] = seconds[0]
        row["factor"] = row["beyond"] / row["expected"]
    return row


def of_length(target: tuple[int, int], frames: int, device: str, folder: Path) -> dict[str, Any]:
    """The file in the folder in this process, on the processor whatever the device."""
    tune_malloc()
    path = folder / CLIP
    job = Job(probe(path), folder / "out.mp4", target, TINY, chunk_frames=21, overlap_frames=2, fresh=True)
    work = partial(upscale_file, job, scan(path), None, weights="", report=lambda *_: None, work=enlarge)
    return {"seconds": timed(work)[0]}


def enlarge(frames: Tensor, target: tuple[int, int], *others: Any, noise: Any, chunk_state: Any) -> Tensor:
    return resize(frames, target).clamp(0, 1)


def make_clip(path: Path, frames: int, size: tuple[int, int]) -> None:
    """A pattern that drifts."""
    picture = np.random.default_rng(0).random((size[0] // 8, size[1] // 8, 3), dtype=np.float32)
    large = torch.from_numpy(np.kron(picture, np.ones((8, 8, 1), np.float32)))
    with VideoWriter(
        path, (large.shape[0], large.shape[1]), range(frames), Fraction(1, 25), fps=Fraction(25)
    ) as writer:
        for k in range(frames):
            writer.write(large.roll(k % size[1], dims=1)[None])


KINDS = {"size": of_size, "length": of_length}


def alone(kind: str, target: tuple[int, int], frames: int, options: argparse.Namespace) -> dict[str, Any]:
    """A row, measured in a process of its own."""
    progress(f"{named(target)}, {frames} frame(s)")
    row: dict[str, Any] = {"output": named(target), "frames": frames, "process": math.nan}
    with tempfile.TemporaryDirectory() as folder:
        if kind == "length":
            make_clip(Path(folder) / CLIP, frames, (target[0] // LENGTH_SCALE, target[1] // LENGTH_SCALE))
        command = [sys.executable, __file__, "--one", kind, named(target), str(frames), folder]
        command += ["--device", options.device, "--threads", str(torch.get_num_threads())]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == KILLED:
        return row | {"beyond": OUT_OF_MEMORY}
    done.check_returncode()
    return row | json.loads(done.stdout)


def run_one(kind: str, target: str, frames: str, folder: str, *, device: str) -> None:
    """The child's part: its row as JSON."""
    row = KINDS[kind](size(target), int(frames), device, Path(folder))
    row["process"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB
    print(json.dumps(row))


SIZE = (
    Column("output", "output"),
    Column("frames", "frames"),
    Column("beyond", "MiB beyond weights", 0),
    Column("expected", "MiB expected", 0),
    Column("factor", "measured/expected"),
    Column("process", "MiB of the process", 0),
    Column("seconds", "s", 1),
)
LENGTH = (
    Column("frames", "frames"),
    Column("process", "MiB of the process", 0),
    Column("factor", "x shortest"),
    Column("seconds", "s", 1),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["size", "length"], choices=list(KINDS))
    parser.add_argument(
        "--outputs", type=size, nargs="+", default=[(720, 1280), (1080, 1920), (1440, 2560), (2160, 3840)]
    )
    parser.add_argument("--frames", type=int, default=2, help="of the clips that grow in size")
    parser.add_argument("--lengths", type=int, nargs="+", default=[40, 400, 4000], help="in frames")
    parser.add_argument("--length-output", type=size, default=(540, 960), help="of the clips that grow in length")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    add_common(parser)
    options = parsed(parser)
    if options.one:
        run_one(*options.one, device=options.device)
        return
    parts = []
    if "size" in options.parts:
        rows = [alone("size", target, options.frames, options) for target in options.outputs]
        parts.append(Records("size", f"Peak against size, tiny default on {options.device}", SIZE, rows))
    if "length" in options.parts:
        rows = [alone("length", options.length_output, frames, options) for frames in options.lengths]
        rows = [row | {"factor": row["process"] / rows[0]["process"]} for row in rows]
        parts.append(Records("length", f"Peak against length, to {named(options.length_output)}", LENGTH, rows))
    publish(options, "Memory", parts, NOTES)


if __name__ == "__main__":
    main()
