"""Time against pixels: patched, and as one full-frame attention pass, on the same tiny base.

Patched time grows with the number of pixels; full attention with its square. Also shows how much
of a run is not spent in model calls.

    python benchmarks/scaling.py
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from patchvsr_core import refine
from patchvsr_core.adapter import Adapter
from patchvsr_core.hosts.diffusers import DiffusersDenoiser
from patchvsr_core.hosts.models import Models, load_models
from patchvsr_core.pipeline import upscale
from patchvsr_core.refine import Refiner
from patchvsr_core.settings import Settings


class Watch:
    """Adds up the seconds spent in base, adapter, refiner and optical flow."""

    def __init__(self) -> None:
        self.seconds = 0.0
        models = ((DiffusersDenoiser, "__call__"), (Adapter, "control"), (Refiner, "forward"))
        for owner, method in (*models, (refine, "neighbour_flows")):
            setattr(owner, method, self._timed(getattr(owner, method)))

    def _timed(self, original: Callable[..., object]) -> Callable[..., object]:
        def timed(*arguments: object, **options: object) -> object:
            start = time.perf_counter()
            try:
                return original(*arguments, **options)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


def measure(work: Callable[[], object], watch: Watch, repeats: int) -> tuple[float, float]:
    """(median seconds, share of them in model calls)."""
    totals, shares = [], []
    for _ in range(repeats):
        watch.seconds = 0.0
        start = time.perf_counter()
        work()
        totals.append(time.perf_counter() - start)
        shares.append(watch.seconds / totals[-1])
    return statistics.median(totals), statistics.median(shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", type=int, default=768, help="side of the 1x output, pixels")
    options = parser.parse_args()
    models = load_models("tiny")
    patched_settings = replace(models.defaults, patch_px=128)
    watch = Watch()
    side = options.side
    sizes = [(side, side), (side, 2 * side), (2 * side, 2 * side)]
    print(f"{'output':>12} {'patched s':>10} {'x':>6} {'model %':>8} {'full s':>10} {'x':>6}")
    first: tuple[float, float] | None = None
    for size in sizes:
        clip = torch.rand(options.frames, size[0] // 4, size[1] // 4, 3)
        patched, share = measure(lambda c=clip, s=size: run(c, s, models, patched_settings), watch, options.repeats)
        whole = replace(patched_settings, patch_px=max(size) // 16 * 16)
        full, _ = measure(lambda c=clip, s=size, w=whole: run(c, s, models, w), watch, 1)
        first = first or (patched, full)
        print(
            f"{size[1]:>7}x{size[0]:<4} {patched:10.2f} {patched / first[0]:6.2f} {100 * share:8.1f} "
            f"{full:10.2f} {full / first[1]:6.2f}",
            flush=True,
        )


def run(clip: Tensor, size: tuple[int, int], models: Models, settings: Settings) -> Tensor:
    return upscale(clip, size, models, settings)


if __name__ == "__main__":
    main()
