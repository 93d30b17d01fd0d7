"""Peak memory that the cost model expects, against what processes really took; every run in its own process.

The shipped models upscale noise: the tiny default in several sizes and settings, and both real-time networks. Where
the numbers are alike, chunks, refusals and the forecast on nodes can be relied on.

    python benchmarks/cost.py --markdown benchmarks/results/cost.md
    python benchmarks/cost.py --only rdg
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from measuring import MIB, Column, Records, add_common, parsed, peak_bytes, progress, publish

from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.plan.chunks import ChunkState
from patchvsr_core.realtime.upscaler import load_fast, upscale_chunk
from patchvsr_core.run.cost import Stream, run_memory, stream_memory
from patchvsr_core.run.malloc import tune_malloc
from patchvsr_core.settings import BICUBIC, RESTORER
from patchvsr_core.stages import make_plan
from patchvsr_core.video.encode_beside import WAITING_FRAMES

WARM_UP = (1, 16, 16)
NOTES = (
    "Expected: patchvsr_core.run.cost for the same sizes and settings. Measured: the peak of the process above what it "
    "held when models were loaded and had run once on a tiny clip."
)


@dataclass(frozen=True)
class Case:
    """A run to measure."""

    clip: tuple[int, int, int]
    """(frames, height, width) of the input."""
    scale: int = 4
    network: str = "tiny"
    """``tiny``, or a real-time network."""
    refiner: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    """What differs from the model's own."""
    hands_on: bool = False
    """Whether frames are taken as soon as they are made, as a job that encodes them does."""

    @property
    def target(self) -> tuple[int, int]:
        return self.scale * self.clip[1], self.scale * self.clip[2]


ALONE: dict[str, Any] = {"base_layer": RESTORER, "restore_strength": 0.0}  # noise is not taken for damage
OFF = {"refine_strength": 0.0}
CASES = {
    "restorer": Case((8, 90, 160), settings=ALONE),
    "restorer, long chunk": Case((40, 72, 128), settings=ALONE),
    "restorer, handing on": Case((40, 90, 160), settings=ALONE, hands_on=True),
    "restorer, large": Case((2, 270, 480), settings=ALONE),
    "restorer, tiles": Case((4, 480, 640), 2, settings=ALONE),
    "restorer and patches": Case((8, 90, 160), settings=ALONE | {"patch_detail": 0.5}),
    "tiny": Case((8, 90, 160)),
    "tiny, small": Case((4, 48, 64)),
    "tiny, long chunk": Case((24, 72, 128)),
    "tiny, large": Case((2, 270, 480)),
    "tiny, x2": Case((8, 144, 256), 2),
    "tiny, corner": Case((8, 108, 192), settings={"layout": "corner"}),
    "tiny, small patches and tiles": Case((8, 90, 160), settings={"patch_px": 128, "tile_px": 256, **OFF}),
    "tiny, no refiner": Case((16, 60, 96), settings=OFF),
    "tiny, 3 steps": Case((16, 60, 96), settings={"steps": 3, **OFF}),
    "tiny, Heun": Case((16, 60, 96), settings={"steps": 2, "solver": "heun", **OFF}),
    "tiny, guidance": Case((8, 90, 160), settings={"guidance": 2.0, "steps": 2, "noise_level": 0.1, **OFF}),
    "tiny, propagation": Case((16, 60, 96), settings={"propagation": 0.25, "propagation_start": 1.0, **OFF}),
    "tiny, attention": Case(
        (8, 60, 96), settings={"spatial_attention": True, "temporal_attention": True, "steps": 2, **OFF}
    ),
    "tiny, RDG as base layer": Case((8, 60, 96), settings={"base_layer": "rdg"}),
    "tiny, conditional refiner": Case((8, 60, 96), refiner="conditional"),
    "dap": Case((16, 180, 320), network="dap"),
    "dap, large": Case((4, 360, 640), network="dap"),
    "dap, handing on": Case((40, 180, 320), network="dap", hands_on=True),
    "rdg": Case((16, 180, 320), network="rdg"),
    "rdg, large": Case((4, 360, 640), network="rdg"),
}


def tiny_run(case: Case, device: str) -> tuple[int, Callable[[], object]]:
    """(expected bytes, what to measure)."""
    models = load_models("tiny", refiner=case.refiner, device=device)
    settings = replace(models.defaults, **{"base_layer": BICUBIC, **case.settings})
    upscale(torch.rand(*WARM_UP, 3), (64, 64), models, settings)  # libraries get what they keep
    plan = make_plan(case.clip[0], case.clip[1:], case.target, models, settings)
    together = models.patches_at_once(plan, settings)
    memory = run_memory(plan, models.networks, settings, together, keeps_result=not case.hands_on)

    def upscaled() -> object:
        frames, ahead = read(case)
        return upscale(frames, case.target, models, settings, chunk_state=taken(case)), ahead

    return memory.peak, upscaled


def fast_run(case: Case, device: str) -> tuple[int, Callable[[], object]]:
    """(expected bytes, what to measure)."""
    frames, height, width = case.clip
    upscaler = load_fast(case.network, device=device)
    work = partial(upscale_chunk, upscaler=upscaler, settings=None, report=lambda *_: None, noise=None)
    work(torch.rand(*WARM_UP, 3), (64, 64), chunk_state=ChunkState())
    source = height, width
    stream = Stream(source, case.target, upscaler.working_bytes(source), adds_to_result=not case.hands_on)
    expected = stream_memory(frames, stream)

    def upscaled() -> object:
        clip, ahead = read(case)
        return work(clip, case.target, chunk_state=taken(case)), ahead

    return expected, upscaled


def read(case: Case) -> tuple[torch.Tensor, object]:
    """(noise, what is read meanwhile)."""
    ahead = [np.ones((*case.clip[1:], 3), np.uint16) for _ in range(case.clip[0] if case.hands_on else 0)]
    return torch.rand(*case.clip, 3), ahead


def taken(case: Case) -> ChunkState:
    """What takes the frames of a result, as many at a time as a job keeps."""
    waiting: deque[torch.Tensor] = deque(maxlen=WAITING_FRAMES + 1)
    return ChunkState(on_final=waiting.append if case.hands_on else None)


def run_case(name: str, device: str) -> dict[str, Any]:
    """The row of a case, measured in this process."""
    case = CASES[name]
    tune_malloc()
    expected, work = (tiny_run if case.network == "tiny" else fast_run)(case, device)
    measured = peak_bytes(work, device)
    return {"expected": expected / MIB, "measured": measured / MIB, "ratio": expected / measured}


def isolated(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The row of a case, measured in a process of its own."""
    progress(name)
    case = CASES[name]
    command = [sys.executable, __file__, "--one", name, "--device", options.device]
    command += ["--threads", str(torch.get_num_threads())]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    frames, height, width = case.clip
    sizes = {"input": f"{frames} x {width}x{height}", "output": f"{case.target[1]}x{case.target[0]}"}
    return {"case": name, **sizes, **json.loads(done.stdout)}


COLUMNS = (
    Column("case", "run"),
    Column("input", "input"),
    Column("output", "output"),
    Column("expected", "MiB expected", 0),
    Column("measured", "MiB measured", 0),
    Column("ratio", "expected/measured"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="runs whose name contains this")
    parser.add_argument("--one", choices=CASES, help=argparse.SUPPRESS)
    add_common(parser)
    options = parsed(parser)
    if options.one:
        print(json.dumps(run_case(options.one, options.device)))
        return
    rows = [isolated(name, options) for name in CASES if options.only in name]
    device = "GPU memory" if options.device != "cpu" else "Main memory"
    publish(options, "Cost model", (Records("cost", f"{device} of a run", COLUMNS, rows),), NOTES)


if __name__ == "__main__":
    main()
