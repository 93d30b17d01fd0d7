"""Time of one frame, upscaled by 4: bicubic, the real-time networks, and the tiny default, on one clip.

The streams take turns at every frame, so that a slow moment of the machine meets all of them. Networks
that do not ship have random weights, which take the same time.

    python benchmarks/realtime.py
    python benchmarks/realtime.py --device cuda --dtype float16 --compile --frames 60
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from measuring import MIB, Column, Records, Timing, Variant, add_common, in_turn, parsed, peak_bytes, publish, timed
from pairs import first_frames
from tables import ROOT

from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.optical_flow.estimators import dis
from patchvsr_core.plan.target_size import SCALE
from patchvsr_core.realtime.dap import DAP, DAPConfig, load_dap
from patchvsr_core.realtime.gbuffers import make_gbuffers
from patchvsr_core.realtime.optimize import optimize_step, prepare
from patchvsr_core.realtime.rdg import RDG, load_rdg
from patchvsr_core.resample import resize
from patchvsr_core.weights import FOLDER

SMALL = DAPConfig(channels=64, features=24, keys=24, points=4, blocks=5)
WARM_UP = 3
"""Frames before those that count; a compiler is done by then."""
COLUMNS = (
    Column("stream", "stream"),
    Column("fps", "frames/s"),
    Column("ms", "ms/frame", 1),
    Column("cpu_ms", "CPU ms", 1),
    Column("ratio", "x bicubic", 1),
    Column("mib", "MiB", 0),
)
NOTES = (
    "ms/frame and x bicubic: medians over the frames; CPU ms: time of all threads of the processor. MiB: what a frame "
    "takes at its peak on top of weights and state. With estimation: motion by dense inverse search and the other "
    "G-buffers from the frames alone, on the processor. The tiny default works on whole clips, with its refiner."
)

BICUBIC = "bicubic"
Upscale = Callable[[int], Any]
"""Told the number of the frame."""


def shipped_or(name: str, load: Callable[[Path], Any], otherwise: Callable[[], Any]) -> Any:
    """The network in a file that ships; another where it does not."""
    path = FOLDER / name
    return load(path) if path.is_file() else otherwise()


def streams(clip: Tensor, options: argparse.Namespace) -> dict[str, Upscale]:
    """All of them, on a (T, h, w, 3) clip that lies where the work is done."""
    target = SCALE * clip.shape[1], SCALE * clip.shape[2]
    images = clip.movedim(-1, 1)
    estimate = dis()

    def ready(network: DAP | RDG, inputs: Callable[[int], Any]) -> Upscale:
        prepare(network, device=options.device, dtype=getattr(torch, options.dtype))
        step, state = optimize_step(network, compiled=options.compile), None

        def next_frame(index: int) -> Tensor:
            nonlocal state
            result, state = step(inputs(index), state)
            return result

        return next_frame

    def image(index: int) -> Tensor:
        return images[index : index + 1]

    def buffers(index: int) -> dict[str, Tensor]:
        found = {name: values[:, 0] for name, values in make_gbuffers(clip[index : index + 1].cpu()).items()}
        if index:
            found["Motion"] = estimate(image(index).cpu(), image(index - 1).cpu())
        return {name: values.to(options.device) for name, values in found.items()}

    known = [buffers(index) for index in range(len(clip))]
    small_rdg = shipped_or("rdg_small.safetensors", load_rdg, RDG)
    return {
        BICUBIC: lambda index: resize(clip[index : index + 1], target),
        "DAP small": ready(shipped_or("dap_small.safetensors", load_dap, lambda: DAP(SMALL)), image),
        "DAP 128": ready(DAP(), image),
        "RDG small": ready(small_rdg, lambda index: known[index]),
        "RDG small, with estimation": ready(small_rdg, buffers),
        "RDG 36": ready(RDG(36), lambda index: known[index]),
    }


def at_frame(upscale: Upscale) -> Variant:
    """Round by round another frame."""
    return lambda index: partial(upscale, index)


def row(name: str, timing: Timing, ratio: float, peak: float) -> dict[str, Any]:
    """Of one stream."""
    times = {"fps": 1 / timing.median, "ms": 1000 * timing.median, "cpu_ms": 1000 * statistics.median(timing.cpu)}
    return {"stream": name, **times, "ratio": ratio, "mib": peak / MIB}


def tiny_default(clip: Tensor, device: str, bicubic: Timing) -> dict[str, Any]:
    """The row of the default model; its first run is its warm-up."""
    models = load_models("tiny", device=device)
    target = SCALE * clip.shape[1], SCALE * clip.shape[2]

    def work() -> None:
        upscale(clip, target, models, models.defaults)

    peak = peak_bytes(work, device)
    wall, cpu = (seconds / len(clip) for seconds in timed(work))
    return row("tiny default", Timing([wall], [cpu]), wall / bicubic.median, peak)


@torch.inference_mode()
def measured(clip: Tensor, options: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows; the clip has :data:`WARM_UP` frames more than count."""
    everything, last = streams(clip, options), len(clip) - 1
    variants = {name: at_frame(upscale) for name, upscale in everything.items()}
    timings = in_turn(variants, len(clip) - WARM_UP, WARM_UP)
    bicubic = timings[BICUBIC]
    peaks = {name: peak_bytes(variant(last), options.device) for name, variant in variants.items()}
    rows = [row(name, timing, timing.ratio(bicubic), peaks[name]) for name, timing in timings.items()]
    if options.default_frames:
        rows.append(tiny_default(clip[: options.default_frames], options.device, bicubic))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path, default=ROOT / "examples" / "sample_original.mp4")
    parser.add_argument("--size", type=int, nargs=2, default=[270, 480], help="height and width of the cut, at most")
    parser.add_argument("--frames", type=int, default=10, help="that count")
    parser.add_argument("--default-frames", type=int, default=4, help="for the tiny default; 0 leaves it out")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--compile", action="store_true", help="let torch fuse the steps")
    add_common(parser)
    options = parsed(parser)
    clip = first_frames(options.clip, options.frames + WARM_UP)[:, : options.size[0], : options.size[1]]
    if len(clip) <= WARM_UP:
        parser.error(f"{options.clip.name} has {len(clip)} frames; take a clip of more than {WARM_UP}.")
    rows = measured(clip.to(options.device), options)
    how = f"{options.dtype}{', compiled' if options.compile else ''} on {options.device}"
    shape = f"{clip.shape[2]}x{clip.shape[1]} to {SCALE * clip.shape[2]}x{SCALE * clip.shape[1]}"
    title = f"{shape}, {how}, {len(clip) - WARM_UP} frames"
    publish(options, "Speed of the real-time networks", [Records("realtime", title, COLUMNS, rows)], NOTES)


if __name__ == "__main__":
    main()
