"""What a frame of a file takes, piece by piece, in seconds of CPU time: the whole run that the command line makes.

Reading, looking for cuts and encoding are measured alone, what happens within the networks' thread while the run is
made. One thread computes, so that its CPU time is all that the networks take.

    python benchmarks/shares.py
    python benchmarks/shares.py CLIP --scale 2
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from measuring import Column, Records, add_common, named, parsed, progress, publish, replaced
from tables import ROOT

from patchvsr_core.cli.engine import Engine
from patchvsr_core.cli.parser import make_parser
from patchvsr_core.cli.preparation import encoding_of, load_engine, probe_job
from patchvsr_core.plan.chunks import Chunk
from patchvsr_core.realtime.upscaler import FastUpscaler
from patchvsr_core.restorer import restore
from patchvsr_core.run.chunk_frames import ChunkFrames
from patchvsr_core.run.job import Job
from patchvsr_core.run.video_job import upscale_file
from patchvsr_core.stages import frames as stages
from patchvsr_core.video.chunk_files import write_chunk
from patchvsr_core.video.reader import Timeline, read_clip, scan

CUTS, READING, FLOW, NETWORK = "decoding once, looking for cuts", "reading", "optical flow", "networks"
PROJECTION, ENCODING, REST = "back-projection", "encoding", "the rest"
ORDER = (CUTS, READING, FLOW, NETWORK, PROJECTION, ENCODING, REST)
PIECES: tuple[tuple[Any, str, str], ...] = (
    (restore, "estimate_clip_flows", FLOW),
    (restore, "_restore_tile", NETWORK),
    (FastUpscaler, "_step", NETWORK),
    (stages, "back_project", PROJECTION),
)
"""Where a function is looked up, its name there, and the piece that its time belongs to."""
RUNS = {"default": (), "--fast dap": ("--fast", "dap")}
NOTES = (
    "Seconds of CPU time of all threads; medians over the rounds, after one that does not count. The run overlaps "
    "reading, the work and encoding, so that it takes less by the clock where there is more than one core. The rest: "
    "resampling to the size of the result, the journal, joining."
)


@dataclass
class Pieces:
    """CPU seconds by piece of the thread in which the networks run."""

    seconds: dict[str, float] = field(default_factory=dict)

    def timing(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, measured."""

        def measured(*arguments: Any, **options: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.thread_time() - start

        return measured


@contextmanager
def watched() -> Iterator[Pieces]:
    """Runs within are measured piece by piece."""
    pieces = Pieces()
    with replaced(PIECES, pieces.timing):
        yield pieces


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of all threads of the process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def one_round(job: Job, timeline: Timeline, engine: Engine) -> dict[str, float]:
    """CPU seconds of a run, by piece."""
    with watched() as pieces:
        run = partial(upscale_file, job, timeline, engine.models, work=engine.work, weights="", report=lambda *_: None)
        whole = cpu_seconds(run)
    count = len(timeline.timestamps)
    found = {CUTS: cpu_seconds(lambda: scan(job.info))}
    found[READING] = cpu_seconds(lambda: ChunkFrames(job.info, timeline).take(Chunk(0, count, 0)))
    result = read_clip(job.output).frames
    alone = job.output.with_name(f"alone{job.output.suffix}")
    found[ENCODING] = cpu_seconds(lambda: write_chunk(alone, result, job.output, job.info, job.encoding))
    found |= pieces.seconds
    return found | {REST: max(0.0, whole + found[CUTS] - sum(found.values()))}


def shares_of(clip: Path, scale: float, arguments: Sequence[str], rounds: int) -> tuple[list[dict[str, Any]], str]:
    """(rows of the pieces, size of the result)."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.mp4"
        command = ["upscale", str(clip), str(output), "--scale", str(scale), "--device", "cpu", *arguments]
        options = make_parser().parse_args(command)
        info, target, timeline = probe_job(options, output, encoding_of(options))
        engine = load_engine(options, info, target)
        count = len(timeline.timestamps)
        job = Job(info, output, target, engine.settings, *engine.chunks(count, None, None), precision=engine.precision)
        seen = [one_round(job, timeline, engine) for _ in range(rounds + 1)][1:]
    pieces = {name: statistics.median(each.get(name, 0.0) for each in seen) / count for name in ORDER}
    total, megapixels = sum(pieces.values()), target[0] * target[1] / 1e6
    rows = [
        {"piece": name, "seconds": value, "megapixel": value / megapixels, "share": 100 * value / total}
        for name, value in pieces.items()
        if value
    ]
    whole = {"piece": "all", "seconds": total, "megapixel": total / megapixels, "share": 100.0}
    return [*rows, whole], named(target)


COLUMNS = (
    Column("piece", "piece"),
    Column("seconds", "CPU s/frame", 4),
    Column("megapixel", "CPU s/megapixel", 3),
    Column("share", "%", 1),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path, default=ROOT / "examples" / "sample.mp4")
    parser.add_argument("--scale", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    add_common(parser)
    options = parsed(parser)
    torch.set_num_threads(1)
    parts = []
    for name, arguments in RUNS.items():
        progress(name)
        rows, target = shares_of(options.clip, options.scale, arguments, options.rounds)
        parts.append(Records(name, f"{name}, to {target}", COLUMNS, rows))
    publish(options, "Shares of a frame", parts, NOTES)


if __name__ == "__main__":
    main()
