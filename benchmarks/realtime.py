"""Time of one frame, upscaled by 4: bicubic, the real-time networks, and the tiny default, on one clip.

The streams take turns at every frame, so that a slow moment of the machine meets all of them. Networks
that do not ship have random weights, which take the same time.

    python benchmarks/realtime.py
    python benchmarks/realtime.py --device cuda --dtype float16 --compile --frames 60
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from pairs import first_frames
from tables import ROOT, Table, as_text, number, write_markdown

from patchvsr_core.hosts.models import load_models
from patchvsr_core.memory import give_back
from patchvsr_core.pipeline import upscale
from patchvsr_core.propagation.estimators import dis
from patchvsr_core.realtime.buffers import g_buffers
from patchvsr_core.realtime.dap import DAP, SCALE, DAPConfig, load_dap
from patchvsr_core.realtime.rdg import RDG, load_rdg
from patchvsr_core.realtime.speed import fast_step, prepared
from patchvsr_core.resample import resize
from patchvsr_core.weights import FOLDER

SMALL = DAPConfig(channels=64, features=24, keys=24, places=4, blocks=5)
WARM_UP = 3
"""Frames before those that count; a compiler is done by then."""
HEADS = ("stream", "frames/s", "ms/frame", "CPU ms", "x bicubic", "MiB")
NOTES = (
    "ms/frame and x bicubic: medians over the frames; CPU ms: time of all threads of the processor. MiB: what a frame "
    "takes at its peak on top of weights and state. With estimation: motion by dense inverse search and the other "
    "G-buffers from the frames alone, on the processor. The tiny default works on whole clips, with its refiner."
)

Upscale = Callable[[int], Any]


@dataclass
class Stream:
    """One way to upscale frame after frame, and what it took."""

    name: str
    upscale: Upscale
    """Told the number of the frame."""
    wall: list[float] = field(default_factory=list)
    """Seconds of every frame that counts."""
    cpu: list[float] = field(default_factory=list)

    def row(self, reference: list[float], peak_mib: float) -> tuple[str, ...]:
        """The cells, against the seconds of the same frames by bicubic."""
        ratio = statistics.median(a / b for a, b in zip(self.wall, reference, strict=False))
        return self.name, *cells(statistics.median(self.wall), statistics.median(self.cpu), ratio, peak_mib)


def cells(wall: float, cpu: float, ratio: float, peak_mib: float) -> tuple[str, ...]:
    return f"{1 / wall:.2f}", f"{1000 * wall:.1f}", f"{1000 * cpu:.1f}", f"{ratio:.1f}", number(peak_mib, 0)


def shipped_or(name: str, load: Callable[[Path], Any], otherwise: Callable[[], Any]) -> Any:
    """The network in a file that ships; another where it does not."""
    path = FOLDER / name
    return load(path) if path.is_file() else otherwise()


def streams(clip: Tensor, options: argparse.Namespace) -> list[Stream]:
    """All of them, on a (T, h, w, 3) clip that lies where the work is done."""
    target = SCALE * clip.shape[1], SCALE * clip.shape[2]
    images = clip.movedim(-1, 1)
    estimate = dis()

    def ready(network: DAP | RDG, inputs: Callable[[int], Any]) -> Upscale:
        prepared(network, device=options.device, dtype=getattr(torch, options.dtype))
        step, state = fast_step(network, compiled=options.compile), None

        def next_frame(index: int) -> Tensor:
            nonlocal state
            result, state = step(inputs(index), state)
            return result

        return next_frame

    def image(index: int) -> Tensor:
        return images[index : index + 1]

    def buffers(index: int) -> dict[str, Tensor]:
        found = {name: values[:, 0] for name, values in g_buffers(clip[index : index + 1].cpu()).items()}
        if index:
            found["Motion"] = estimate(image(index).cpu(), image(index - 1).cpu())
        return {name: values.to(options.device) for name, values in found.items()}

    known = [buffers(index) for index in range(len(clip))]
    small_rdg = shipped_or("rdg_small.safetensors", load_rdg, RDG)
    return [
        Stream("bicubic", lambda index: resize(clip[index : index + 1], target)),
        Stream("DAP small", ready(shipped_or("dap_small.safetensors", load_dap, lambda: DAP(SMALL)), image)),
        Stream("DAP 128", ready(DAP(), image)),
        Stream("RDG small", ready(small_rdg, lambda index: known[index])),
        Stream("RDG small, with estimation", ready(small_rdg, buffers)),
        Stream("RDG 36", ready(RDG(36), lambda index: known[index])),
    ]


def timed(work: Callable[[], Any], device: str) -> tuple[float, float]:
    """(seconds, seconds of the processor)."""
    start, start_cpu = time.perf_counter(), time.process_time()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start, time.process_time() - start_cpu


def peak_mib(work: Callable[[], Any], device: str) -> float:
    """Memory at its peak above what was held before; NaN where the system does not tell."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - held) / 2**20
    give_back()
    with suppress(OSError):
        held = psutil.Process().memory_info().rss
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: the peak counts from here
        work()
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 2**10 - held / 2**20
    return math.nan


def tiny_default(clip: Tensor, device: str, bicubic: float) -> tuple[str, ...]:
    """The row of the default model; its first run is its warm-up."""
    models = load_models("tiny", device=device)
    target = SCALE * clip.shape[1], SCALE * clip.shape[2]

    def work() -> None:
        upscale(clip, target, models, models.defaults)

    peak = peak_mib(work, device)
    wall, cpu = (seconds / len(clip) for seconds in timed(work, device))
    return "tiny default", *cells(wall, cpu, wall / bicubic, peak)


@torch.inference_mode()
def measured(clip: Tensor, options: argparse.Namespace) -> tuple[tuple[str, ...], ...]:
    """All rows; the clip has :data:`WARM_UP` frames more than count."""
    everything = streams(clip, options)
    for index in range(len(clip)):
        for stream in everything:
            wall, cpu = timed(lambda: stream.upscale(index), options.device)  # noqa: B023
            if index >= WARM_UP:
                stream.wall.append(wall)
                stream.cpu.append(cpu)
        print(f"frame {index + 1} of {len(clip)}", file=sys.stderr, flush=True)
    reference, last = everything[0].wall, len(clip) - 1
    rows = [s.row(reference, peak_mib(lambda: s.upscale(last), options.device)) for s in everything]  # noqa: B023
    if options.default_frames:
        rows.append(tiny_default(clip[: options.default_frames], options.device, statistics.median(reference)))
    return tuple(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path, default=ROOT / "examples" / "sample_original.mp4")
    parser.add_argument("--size", type=int, nargs=2, default=[270, 480], help="height and width of the cut, at most")
    parser.add_argument("--frames", type=int, default=10, help="that count")
    parser.add_argument("--default-frames", type=int, default=4, help="for the tiny default; 0 leaves it out")
    parser.add_argument("--threads", type=int, help="of the processor")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--compile", action="store_true", help="let torch fuse the steps")
    parser.add_argument("--markdown", type=Path, help="file to write the table to")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    clip = first_frames(options.clip, options.frames + WARM_UP)[:, : options.size[0], : options.size[1]]
    if len(clip) <= WARM_UP:
        parser.error(f"{options.clip.name} has {len(clip)} frames; take a clip of more than {WARM_UP}.")
    rows = measured(clip.to(options.device), options)
    how = f"{options.dtype}{', compiled' if options.compile else ''} on {options.device}"
    shape = f"{clip.shape[2]}x{clip.shape[1]} to {SCALE * clip.shape[2]}x{SCALE * clip.shape[1]}"
    table = Table(f"{shape}, {how}, {len(clip) - WARM_UP} frames", HEADS, rows)
    print(as_text(table), NOTES, sep="\n")
    if options.markdown:
        write_markdown(options.markdown, "Speed of the real-time networks", [table], NOTES, sys.argv)


if __name__ == "__main__":
    main()
