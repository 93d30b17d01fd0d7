"""Time of one clip on several processes: CPU cores (gloo), or GPUs (NCCL), against one process.

Every variant runs in processes of its own, in turn, round by round; loading and the first call are not timed.

    python benchmarks/distributed.py examples/sample.mp4 --frames 4 --json results/distributed.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from pairs import first_frames
from patches import load_patches
from tables import Table, as_text, made_by, write_markdown

from patchvsr_core.cli.torchrun import join_launch
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.version import VERSION

NOTES = (
    "Medians over the rounds. *faster* is the median, round by round, of the time of one process with one thread (on "
    "a GPU: of one process) over this one's. *busiest* is the processor's time that the busiest process took, and "
    "*divided by* that of one process over it: what is reached with a free core for every thread, whatever else the "
    "machine does. *difference* is the largest of any value of the frames to those of one process, in [0, 1]; "
    "*memory* the largest peak of a process, weights and libraries included, on a GPU without them."
)
HEADS = ("", "s", "faster", "busiest s", "divided by", "difference", "memory GiB")


@dataclass
class Variant:
    """So many processes with so many threads each, and what was measured of them."""

    processes: int
    threads: int
    seconds: list[float] = field(default_factory=list)
    busiest: list[float] = field(default_factory=list)
    """Processor seconds of the process that took most."""
    peak_bytes: int = 0
    difference: float = 0.0

    def row(self, reference: Variant) -> tuple[str, ...]:
        return (
            f"{self.processes} process{'es' if self.processes > 1 else ''}, {self.threads} thread"
            f"{'s' if self.threads > 1 else ''} each",
            f"{statistics.median(self.seconds):.2f}",
            f"{median_ratio(reference.seconds, self.seconds):.2f}",
            f"{statistics.median(self.busiest):.2f}",
            f"{median_ratio(reference.busiest, self.busiest):.2f}",
            f"{self.difference:.1e}",
            f"{self.peak_bytes / 2**30:.2f}",
        )


def median_ratio(reference: Sequence[float], measured: Sequence[float]) -> float:
    """Round by round."""
    return statistics.median(a / b for a, b in zip(reference, measured, strict=True))


def work(options: argparse.Namespace) -> None:
    """One process of a variant; the leader leaves (seconds, processor seconds, peak bytes, frames)."""
    torch.set_num_threads(options.threads)
    with join_launch() as launch:
        group = launch.init_process_group(options.device)
        models = load_patches(device=options.device if group.device is None else str(group.device))
        frames = first_frames(options.clip, options.frames)[..., :3]
        target = frames.shape[1] * options.scale, frames.shape[2] * options.scale
        upscale(frames[:1, :64, :64], (128, 128), models, group=group)  # warms up
        if models.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        group.all_reduce_min(0)  # all begin together
        start, worked = time.perf_counter(), time.process_time()
        result = upscale(frames, target, models, group=group)
        seconds = time.perf_counter() - start
        busiest = -group.all_reduce_min(round(-1e6 * (time.process_time() - worked))) / 1e6
        peak = -group.all_reduce_min(-_peak_bytes(models.device))
        if group.is_leader:
            torch.save((seconds, busiest, peak, result), options.result)


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(variant: Variant, arguments: Sequence[str], folder: Path) -> tuple[float, float, int, Tensor]:
    """All processes of a variant, started as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = folder / "result.pt"
    command = [sys.executable, __file__, *arguments, "--threads", str(variant.threads), "--result", str(result)]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(variant.processes)}
    shared |= {"LOCAL_WORLD_SIZE": str(variant.processes), "OMP_NUM_THREADS": str(variant.threads)}
    started = [
        subprocess.Popen(command, env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(variant.processes)
    ]
    if max(abs(process.wait()) for process in started):
        raise SystemExit("A process failed.")
    seconds, busiest, peak, frames = torch.load(result)
    return seconds, busiest, peak, frames


def measure(variants: Sequence[Variant], rounds: int, arguments: Sequence[str]) -> None:
    """Time all in turn; the first one is what the others are compared with."""
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            expected: Tensor | None = None
            for variant in variants:
                seconds, busiest, peak, frames = run(variant, arguments, Path(folder))
                expected = frames if expected is None else expected
                variant.seconds.append(seconds)
                variant.busiest.append(busiest)
                variant.peak_bytes = max(variant.peak_bytes, peak)
                variant.difference = max(variant.difference, float((frames - expected).abs().max()))
                print(f"{variant.processes} x {variant.threads}: {seconds:.2f} s", file=sys.stderr, flush=True)


def as_json(variants: Sequence[Variant]) -> dict[str, Any]:
    return {
        "made_by": made_by(sys.argv),
        "patchvsr": VERSION,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "cores": os.cpu_count(),
        "variants": [{**vars(v), "faster": median_ratio(variants[0].seconds, v.seconds)} for v in variants],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.result:
        return work(options)
    on_gpu = options.device != "cpu" and torch.cuda.is_available()
    variants = [Variant(1, 1)]
    if not on_gpu:
        variants += [Variant(1, count) for count in options.processes if count <= (os.cpu_count() or 1)]
    variants += [Variant(count, 1) for count in options.processes]
    measure(variants, options.rounds, sys.argv[1:])
    rows = tuple(variant.row(variants[0]) for variant in variants)
    title = f"{options.clip.name}, {options.frames} frames, x{options.scale}, shipped model"
    table = Table(title, HEADS, rows)
    print(as_text(table))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(as_json(variants), indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        write_markdown(options.markdown, "One clip on several processes", [table], NOTES, sys.argv)


if __name__ == "__main__":
    main()
