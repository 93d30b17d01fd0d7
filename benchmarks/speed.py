"""Speed of the tiny default on a real clip: seconds of a frame stage by stage, and options side by side.

On a GPU there are more options: half precision, and blocks that torch compiled.

    python benchmarks/speed.py
    python benchmarks/speed.py --device cuda --frames 16 --rounds 5
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from measuring import (
    MIB,
    Column,
    Records,
    Work,
    add_common,
    always,
    fits,
    in_turn,
    keep,
    named,
    parsed,
    peak_bytes,
    publish,
    size,
)
from pairs import input_clip
from patches import load_patches
from pieces import ORDER, overhead, watched_pipeline
from tables import ROOT

from patchvsr_core.hosts.diffusers.models import Models
from patchvsr_core.hosts.diffusers.pipeline import sample, upscale
from patchvsr_core.stages import make_plan, patches_of_step, steps_of_run

RECOMPILE_LIMIT = 64
"""Every block of a base is compiled by itself."""
NOTES = (
    "Seconds are medians over the rounds, after one that does not count. Outside model calls: cutting patches, fusing "
    "them, guidance and the solver, as a share of the denoising steps; the watch waits for the GPU at every change of "
    "piece, so that nothing overlaps. Options: encoding and denoising alone; the ratio is that of every round to the "
    "default of the same round, MiB the peak beyond what was held before."
)
DEFAULT = "default"


@dataclass(frozen=True)
class Option:
    """One way to run the denoising."""

    changes: dict[str, Any] = field(default_factory=dict)
    """Of the settings."""
    half: bool = False
    """Base and adapter in bfloat16."""
    compiled: bool = False
    """The blocks of the base."""

    def models(self, models: Models) -> Models:
        """Copies, where they are changed."""
        if not self.half and not self.compiled:
            return models
        models = replace(models, base=copy.deepcopy(models.base), adapter=copy.deepcopy(models.adapter))
        if self.half:
            models.base.transformer.to(torch.bfloat16)
            if models.adapter is not None:
                models.adapter.to(torch.bfloat16)
        if self.compiled:
            torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
            for block in models.base.transformer.blocks:
                block.forward = torch.compile(block.forward)
        return models


OPTIONS = {
    DEFAULT: Option(),
    "2 patches at once": Option({"patches_at_once": 2}),
    "4 patches at once": Option({"patches_at_once": 4}),
    "8 patches at once": Option({"patches_at_once": 8}),
    "corner": Option({"layout": "corner"}),
    "pairwise": Option({"layout": "pairwise"}),
    "2 steps": Option({"steps": 2}),
    "2 steps, corner": Option({"steps": 2, "layout": "corner"}),
    "2 steps, pairwise": Option({"steps": 2, "layout": "pairwise"}),
    "2 steps, alternating": Option({"steps": 2, "layout": "alternating"}),
    "4 steps": Option({"steps": 4}),
    "4 steps, corner": Option({"steps": 4, "layout": "corner"}),
    "4 steps, corner, auxiliary patches at the last": Option({"steps": 4, "layout": "corner", "auxiliary_start": 0.25}),
    "4 steps, alternating": Option({"steps": 4, "layout": "alternating"}),
    "4 steps, economy 2": Option({"steps": 4, "skip_interval": 2}),
}
GPU_OPTIONS = {
    "1 patch at once": Option({"patches_at_once": 1}),
    "bfloat16": Option(half=True),
    "bfloat16, 8 patches at once": Option({"patches_at_once": 8}, half=True),
}
COMPILED_OPTIONS = {
    "compiled": Option(compiled=True),
    "bfloat16, compiled, 8 patches at once": Option({"patches_at_once": 8}, half=True, compiled=True),
}


def chosen_options(options: argparse.Namespace) -> dict[str, Option]:
    """The default and what the user asked for."""
    known = OPTIONS if options.device == "cpu" else OPTIONS | GPU_OPTIONS
    if options.compiled:
        known = {DEFAULT: OPTIONS[DEFAULT], **COMPILED_OPTIONS}
    words = options.only or [""]
    return {name: known[name] for name in known if name == DEFAULT or any(word in name for word in words)}


def stages(models: Models, clip: Tensor, targets: Sequence[tuple[int, int]], rounds: int) -> list[Records]:
    """Whole runs, and the stages within."""
    taken: dict[str, list[dict[str, float]]] = {named(target): [] for target in targets}
    with watched_pipeline() as watch:

        def run(target: tuple[int, int]) -> Work:
            def work() -> None:
                upscale(clip, target, models, models.defaults)
                taken[named(target)].append(watch.take())

            return work

        timings = in_turn({named(target): always(run(target)) for target in targets}, rounds)
    frames, device = len(clip), models.device
    rows, parts = [], []
    for target in targets:
        timing, seen = timings[named(target)], taken[named(target)][1:]
        plan = make_plan(frames, (clip.shape[1], clip.shape[2]), target, models, models.defaults)
        row = {"output": named(target), "frames": frames, "seconds": timing.median / frames}
        row |= {"fps": frames / timing.median, "spread": timing.spread, "patches": len(plan.patches)}
        rows.append(row | {"outside": 100 * statistics.median(map(overhead, seen))})
        pieces = {name: statistics.median(one.get(name, 0.0) for one in seen) for name in ORDER}
        pieces["the rest"] = timing.median - sum(pieces.values())
        parts.append(Records(named(target), f"{named(target)}, stage by stage", PIECE, shares(pieces, frames)))
    title = f"Tiny default from {named((clip.shape[1], clip.shape[2]))} on {device}"
    return [Records("whole", title, WHOLE, rows), *parts]


WHOLE = (
    Column("output", "output"),
    Column("frames", "frames"),
    Column("patches", "patches"),
    Column("seconds", "s/frame", 3),
    Column("fps", "frames/s"),
    Column("spread", "slowest/fastest"),
    Column("outside", "% outside model calls"),
)
PIECE = (Column("piece", "piece"), Column("seconds", "s/frame", 4), Column("share", "%", 1))


def shares(pieces: dict[str, float], frames: int) -> list[dict[str, Any]]:
    """Rows of the stages of one size."""
    total = sum(pieces.values())
    return [{"piece": k, "seconds": v / frames, "share": 100 * v / total} for k, v in pieces.items()]


def choices(
    models: Models, clip: Tensor, target: tuple[int, int], rounds: int, options: dict[str, Option], device: str
) -> Records:
    """Denoising in every way, each of them measured once for its memory (which warms up) and then in turn."""
    rows, works = {}, {}
    for name, option in options.items():
        rows[name] = row = {"option": name}
        work, row["patches"] = denoising(option, models, clip, target)
        with fits(row, "seconds", "ratio", "mib"):
            row["mib"] = peak_bytes(work, device) / MIB
            works[name] = always(work)
    timings = in_turn(works, rounds, warm_up=0)
    for name, timing in timings.items():
        rows[name] |= {"seconds": timing.median / len(clip), "spread": timing.spread}
        if DEFAULT in timings:
            rows[name]["ratio"] = timing.ratio(timings[DEFAULT])
    return Records("options", f"Denoising to {named(target)} on {device}", OPTION, list(rows.values()))


OPTION = (
    Column("option", "option"),
    Column("patches", "patches"),
    Column("seconds", "s/frame", 3),
    Column("ratio", "x default"),
    Column("mib", "MiB", 0),
)


def denoising(option: Option, models: Models, clip: Tensor, target: tuple[int, int]) -> tuple[Work, int]:
    """(encoding and denoising of the clip, patches of all steps, those that rest included)."""
    models, settings = option.models(models), replace(models.defaults, **option.changes)
    plan = make_plan(len(clip), (clip.shape[1], clip.shape[2]), target, models, settings)

    def work() -> None:
        with torch.inference_mode():
            sample(clip, plan, models, settings, lambda *_: None)

    return work, sum(len(patches_of_step(plan, settings, step)) for step in steps_of_run(settings))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path, default=ROOT / "examples" / "sample_original.mp4")
    parser.add_argument("--parts", nargs="+", default=["stages", "options"], choices=["stages", "options"])
    parser.add_argument("--input", type=size, default=(270, 480), help="size that the clip is brought to")
    parser.add_argument("--outputs", type=size, nargs="+", default=[(720, 1280), (1080, 1920)])
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--patch-px", type=int, help="side of a patch; the model's own if left out")
    parser.add_argument("--only", nargs="+", help=f"run {DEFAULT!r} and options whose name has one of these words")
    parser.add_argument("--compiled", action="store_true", help="options that torch compiles; its first run takes long")
    add_common(parser)
    options = parsed(parser)
    models = load_patches(device=options.device)
    if options.patch_px:
        models = replace(models, defaults=replace(models.defaults, patch_px=options.patch_px))
    chosen = chosen_options(options)
    clip = input_clip(options.clip, options.frames, options.input).to(options.device)
    parts: list[Records] = []
    heading = "Speed of the tiny default"
    if "stages" in options.parts:
        parts += stages(models, clip, options.outputs, options.rounds)
        keep(options, heading, parts, NOTES)
    if "options" in options.parts:
        parts.append(choices(models, clip, options.outputs[0], options.rounds, chosen, options.device))
    publish(options, heading, parts, NOTES)


if __name__ == "__main__":
    main()
