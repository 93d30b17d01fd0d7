"""Blending and mixing along the motion: what they take by our operations, and by plain torch.

On a processor the rival is what tiled decoders do: tiles added to a canvas, weights added to another, and the one
divided by the other. On a CUDA GPU our kernels, the rival and a plain copy are timed by the GPU's own clock.

    python benchmarks/kernels.py
    python benchmarks/kernels.py --device cuda --frames 16 81
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from tables import ROOT, Table, as_text, number, write_markdown

from patchvsr_core.kernels import (
    Axis,
    Lattice,
    Placement,
    blend_into,
    gather_blend,
    kernel_status,
    mix_along_flow,
)
from patchvsr_core.kernels.references import add_reference, blend_reference, mix_reference
from patchvsr_core.plan.planner import tile_axis
from patchvsr_core.version import VERSION

RESULTS = ROOT / "benchmarks" / "results"
WARM_UP = 2
MIB = 2**20
TYPES = {"f32": torch.float32, "f16": torch.float16, "u8": torch.uint8}


@dataclass(frozen=True)
class Blend:
    """Tiles to be blended."""

    name: str
    size: tuple[int, int, int]
    tile: int
    overlap: int

    def lattice(self, device: torch.device) -> Lattice:
        axes = (Axis.of(tile_axis(length, min(self.tile, length), self.overlap)) for length in self.size[1:])
        return Lattice(Axis.whole(self.size[0]), *axes).on(device)

    def tiles(self, lattice: Lattice, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
        lengths = [axis.weights.shape[1] for axis in (lattice.t, lattice.y, lattice.x)]
        return [torch.rand(*lengths, 3, device=device).to(dtype) for _ in range(len(lattice))]


def scattered(tiles: list[Tensor], lattice: Lattice, size: tuple[int, int, int], dtype: torch.dtype) -> Tensor:
    """The usual way: a canvas of sums and a canvas of weights."""
    frames = torch.zeros(*size, 3, device=tiles[0].device)
    total = torch.zeros_like(frames)
    places = [(j, k) for j in range(len(lattice.y.starts)) for k in range(len(lattice.x.starts))]
    for tile, (j, k) in zip(tiles, places, strict=True):
        weight = (lattice.y.weights[j][:, None] * lattice.x.weights[k])[..., None]
        y, x = lattice.y.starts[j], lattice.x.starts[k]
        region = (slice(None), slice(y, y + tile.shape[1]), slice(x, x + tile.shape[2]))
        frames[region] += tile * weight
        total[region] += weight
    frames /= total
    return frames.clamp_(0, 1).mul_(255).round_().to(dtype) if dtype == torch.uint8 else frames.to(dtype)


def tile_by_tile(tiles: list[Tensor], lattice: Lattice, size: tuple[int, int, int], dtype: torch.dtype) -> Tensor:
    """With weights that are normalised before: no canvas of weights, still one pass for every tile."""
    axes = (lattice.t, lattice.y, lattice.x)
    return blend_reference(tiles, [axis.starts for axis in axes], [axis.weights for axis in axes], size, dtype)


WAYS = {"scatter + weights": scattered, "tile by tile": tile_by_tile, "gather_blend": gather_blend}


def timed(ways: dict[str, Callable[[], Any]], repeats: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of every way, in turn, so that a slow moment of the machine meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(WARM_UP + repeats):
        for name, work in ways.items():
            seconds = _on_gpu(work) if device.type == "cuda" else _on_processor(work)
            if turn >= WARM_UP:
                times[name].append(seconds)
    return times


def _on_processor(work: Callable[[], Any]) -> float:
    """Of all threads, so that other processes do not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _on_gpu(work: Callable[[], Any]) -> float:
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    work()
    last.record()
    torch.cuda.synchronize()
    return first.elapsed_time(last) / 1000


def extra_mib(case: Blend, way: str, dtype: str) -> float:
    """Peak beyond tiles and result, of a process of its own; NaN where the system does not tell."""
    if not Path("/proc/self/clear_refs").exists():
        return math.nan
    command = [sys.executable, __file__, "--peak", json.dumps([*case.size, case.tile, case.overlap]), way, dtype]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_peak(geometry: list[int], way: str, dtype: str) -> None:
    """Print what :func:`extra_mib` wants, in this process. A first small run loads what the work needs."""
    cpu = torch.device("cpu")
    small = Blend("small", (1, 100, 100), 64, 8)
    lattice = small.lattice(cpu)
    WAYS[way](small.tiles(lattice, torch.float32, cpu), lattice, small.size, TYPES[dtype])
    case = Blend("", (geometry[0], geometry[1], geometry[2]), geometry[3], geometry[4])
    lattice = case.lattice(cpu)
    tiles = case.tiles(lattice, torch.float32, cpu)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    frames = WAYS[way](tiles, lattice, case.size, TYPES[dtype])
    print((_status("VmHWM") - before) / 1024 - frames.nbytes / MIB)


def _status(field: str) -> int:
    """KiB, from what Linux says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def blending(case: Blend, device: torch.device, repeats: int, copied: float) -> Table:
    """Time of all ways from float32 (on a GPU float16) to float32 and to bytes."""
    lattice = case.lattice(device)
    given = torch.float16 if device.type == "cuda" else torch.float32
    tiles = case.tiles(lattice, given, device)
    rows = []
    for dtype in ("f32", "u8"):
        ways: dict[str, Callable[[], Any]] = {
            name: partial(way, tiles, lattice, case.size, TYPES[dtype]) for name, way in WAYS.items()
        }
        ways["only to write a fresh result"] = partial(
            torch.full, (*case.size, 3), 1, dtype=TYPES[dtype], device=device
        )
        times = timed(ways, repeats, device)
        out = math.prod(case.size) * 3 * TYPES[dtype].itemsize
        moved = sum(tile.nbytes for tile in tiles) + out
        for name, seconds in times.items():
            faster = statistics.median(a / b for a, b in zip(times["scatter + weights"], seconds, strict=True))
            median = statistics.median(seconds)
            touched = moved if name in WAYS else out
            last = _bandwidth(touched, median, copied) if device.type == "cuda" else _extra(case, name, dtype, out)
            rows.append((f"{name}, {dtype}", f"{1000 * median:.1f}", f"{faster:.2f}", *last))
    heads = ("GB/s", "of copying") if device.type == "cuda" else ("extra MiB", "of result")
    frames, height, width = case.size
    title = f"{case.name}: {frames} x {width}x{height}, {len(lattice)} tiles of {case.tile} px"
    return Table(title, ("way", "ms", "x faster", *heads), tuple(rows))


def _bandwidth(moved: int, seconds: float, copied: float) -> tuple[str, str]:
    return f"{moved / seconds / 1e9:.0f}", f"{moved / seconds / copied:.0%}"


def _extra(case: Blend, way: str, dtype: str, out: int) -> tuple[str, str]:
    extra = extra_mib(case, way, dtype) if way in WAYS else math.nan
    return number(extra, 1), "-" if math.isnan(extra) else f"{extra * MIB / out:.1%}"


def mixing(device: torch.device, repeats: int, copied: float) -> Table:
    """Time of one frame of a 4K latent canvas mixed with its neighbour, and of patches added to the canvas."""
    frame, neighbour = torch.rand(2, 1, 16, 270, 480, device=device)
    there = 2 * torch.randn(1, 2, 270, 480, device=device)
    rows = []
    for interpolation in ("nearest", "bilinear", "bicubic"):
        settings: dict[str, Any] = {"interpolation": interpolation, "weight": 0.5, "alpha1": 0.001, "alpha2": 0.05}
        given = frame, neighbour, there, -there
        ways = {
            "plain": partial(mix_reference, *given, *settings.values()),
            "operation": partial(mix_along_flow, *given, **settings),
        }
        moved = 3 * frame.nbytes + 2 * there.nbytes
        rows.append(_pair(f"mix, {interpolation}", timed(ways, repeats, device), moved, copied))
    canvas, patch = torch.zeros(16, 21, 270, 480, device=device), torch.rand(1, 16, 21, 64, 64, device=device)
    place = Placement((0, 90, 200), torch.ones(21, device=device), torch.rand(64, 64, device=device))
    weights = [place.weight_t], [place.weight_yx], list(place.origin)
    ways = {
        "plain": lambda: add_reference(canvas, patch, *weights),
        "operation": lambda: blend_into(canvas, patch, [place]),
    }
    rows.append(_pair("add a patch", timed(ways, repeats, device), 3 * patch.nbytes, copied))
    heads = ("operation", "plain torch ms", "ms", "x faster", "GB/s", "of copying")
    return Table("16 channels of a 4K latent canvas, float32", heads, tuple(rows))


def _pair(name: str, times: dict[str, list[float]], moved: int, copied: float) -> tuple[str, ...]:
    plain, ours = (statistics.median(times[way]) for way in ("plain", "operation"))
    faster = statistics.median(a / b for a, b in zip(times["plain"], times["operation"], strict=True))
    return name, f"{1000 * plain:.2f}", f"{1000 * ours:.2f}", f"{faster:.2f}", *_bandwidth(moved, ours, copied)


def copy_bandwidth(device: torch.device, repeats: int) -> float:
    """Bytes per second that a copy reads and writes."""
    source = torch.rand(2**26 if device.type == "cuda" else 2**24, device=device)
    target = torch.empty_like(source)
    times = timed({"copy": lambda: target.copy_(source)}, repeats, device)
    return 2 * source.nbytes / statistics.median(times["copy"])


def cases(frames: list[int]) -> list[Blend]:
    """4K in one and in several frames, and many small frames."""
    large = [Blend("4K", (count, 2160, 3840), 512, 64) for count in frames]
    return [*large, Blend("Small", (81, 270, 480), 128, 16)]


def write(path: Path, tables: list[Table], device: torch.device, copied: float) -> None:
    """Markdown, and JSON beside it with versions and device."""
    states = {state.name: str(state) for state in kernel_status(device)}
    notes = (
        f"Medians, on a processor of the time of all threads; ways take turns. A copy moves {copied / 1e9:.1f} GB/s. "
        f"x faster: median of the ratios to the first way. Extra: peak memory beside tiles and result. "
        f"Kernels: {states['blend']}."
    )
    write_markdown(path, "Blending and mixing along the motion", tables, notes, sys.argv)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    facts = {
        "patchvsr": VERSION,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "device": name,
        "threads": torch.get_num_threads(),
        "kernels": states,
        "copy_bytes_per_s": round(copied),
        "tables": [
            {"title": t.title, "rows": [dict(zip(t.heads, row, strict=True)) for row in t.rows]} for t in tables
        ],
    }
    path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--frames", type=int, nargs="+", default=[1, 4], help="of 4K")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--markdown", type=Path, help="file to write the tables to; JSON goes beside it")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        measure_peak(json.loads(options.peak[0]), options.peak[1], options.peak[2])
        return
    device = torch.device(options.device)
    copied = copy_bandwidth(device, options.repeats)
    tables = [blending(case, device, options.repeats, copied) for case in cases(options.frames)]
    tables.append(mixing(device, options.repeats, copied))
    print(*map(as_text, tables), sep="\n")
    write(options.markdown or RESULTS / f"kernels_{device.type}.md", tables, device, copied)


if __name__ == "__main__":
    main()
