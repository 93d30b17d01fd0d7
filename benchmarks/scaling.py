"""Time against pixels: patched, and as one full-frame attention pass, on the same tiny base.

Patched time grows with the number of pixels; full attention with its square. Also shows how much
of a run is spent in networks and the optical flow.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --device cuda --side 1024 --frames 8
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from measuring import (
    MIB,
    Column,
    Records,
    Watch,
    Work,
    add_common,
    always,
    fits,
    in_turn,
    named,
    parsed,
    peak_bytes,
    progress,
    publish,
)
from patches import load_patches
from pieces import NETWORKS, watched_pipeline

from patchvsr_core.hosts.diffusers.models import Models
from patchvsr_core.hosts.diffusers.pipeline import upscale

NOTES = (
    "Whole runs of the pipeline, medians over rounds in which both take turns; x: against the smallest output. "
    "MiB: peak beyond weights and clip. Networks: share of the patched run in base, adapter, refiner and optical flow."
)
COLUMNS = (
    Column("output", "output"),
    Column("patched", "patched s"),
    Column("patched_growth", "x"),
    Column("patched_mib", "MiB", 0),
    Column("networks", "% networks", 1),
    Column("full", "full frame s"),
    Column("full_growth", "x"),
    Column("full_mib", "MiB", 0),
    Column("ratio", "full/patched"),
)


def measured(target: tuple[int, int], models: Models, options: argparse.Namespace, watch: Watch) -> dict[str, Any]:
    """A row; both kinds are measured once for their memory (which warms up) and then in turn."""
    clip = torch.rand(options.frames, target[0] // 4, target[1] // 4, 3, device=models.device)
    shares: list[float] = []

    def work(patch_px: int) -> Work:
        settings = replace(models.defaults, patch_px=patch_px)

        def run() -> None:
            upscale(clip, target, models, settings)
            seconds = watch.take()
            if patch_px == options.patch_px:
                shares.append(sum(seconds.get(name, 0.0) for name in NETWORKS))

        return run

    kinds = {"patched": work(options.patch_px), "full": work(-(-max(target) // 16) * 16)}
    row: dict[str, Any] = {"output": named(target), "pixels": target[0] * target[1] * options.frames}
    works = {}
    for kind, run in kinds.items():
        with fits(row, kind, f"{kind}_mib"):
            row[f"{kind}_mib"] = peak_bytes(run, options.device) / MIB
            works[kind] = always(run)
    timings = in_turn(works, options.rounds, warm_up=0)
    row |= {kind: timing.median for kind, timing in timings.items()}
    if "patched" in timings:
        spent = zip(shares[1:], timings["patched"].wall, strict=True)
        row["networks"] = 100 * statistics.median(share / wall for share, wall in spent)
    if len(timings) == len(kinds):
        row["ratio"] = timings["full"].ratio(timings["patched"])
    return row


def grown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With times over those of the first row, where both are known."""
    for row in rows:
        for kind in ("patched", "full"):
            times = row[kind], rows[0][kind]
            if all(isinstance(time, float) for time in times):
                row[f"{kind}_growth"] = times[0] / times[1]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--side", type=int, default=768, help="side of the 1x output, pixels")
    parser.add_argument("--doublings", type=int, default=2, help="of the number of pixels")
    parser.add_argument("--patch-px", type=int, default=128)
    add_common(parser)
    options = parsed(parser)
    models = load_patches(device=options.device)
    rows = []
    with watched_pipeline() as watch:
        for doubling in range(options.doublings + 1):
            target = options.side * 2 ** (doubling // 2), options.side * 2 ** ((doubling + 1) // 2)
            progress(named(target))
            rows.append(measured(target, models, options, watch))
    title = f"{options.frames} frames in patches of {options.patch_px} px, and whole, on {options.device}"
    publish(options, "Time against pixels", [Records("scaling", title, COLUMNS, grown(rows))], NOTES)


if __name__ == "__main__":
    main()
