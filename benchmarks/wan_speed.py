"""A step of a Wan with random weights: patches with joint modulation beside attention over the whole frame.

Nothing is downloaded. By itself it runs a narrow model that a CPU can bear; the size of Wan 2.1 1.3B is

    python benchmarks/wan_speed.py --device cuda --width 1536 --blocks 30 --px 512 --frames 17 \\
        --outputs 2560x1440 3840x2160
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging

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
from real_size import narrowed, random_base

from patchvsr_core.adapter import Adapter
from patchvsr_core.hosts.diffusers.denoiser import Base, DiffusersDenoiser
from patchvsr_core.plan.canvas import TOKEN_CELLS, Canvas, PatchPlan
from patchvsr_core.plan.planner import plan_patches
from patchvsr_core.sampling.conditions import Controls
from patchvsr_core.sampling.joint_modulation import fuse
from patchvsr_core.training.config import TrainConfig, load_config

STRIDE_PX, STRIDE_FRAMES = 8, 4
SIGMA = 0.5
WHOLE = "whole frame"
NOTES = (
    "Seconds of one step over all patches, without guidance; alternating: the mean of its two grids; later step: the "
    "adapter's features are kept from the one before. MiB: peak beyond weights and canvas. x whole frame: time of the "
    "same round. Attention is torch's scaled_dot_product_attention. Weights are random, which changes neither time nor "
    "memory."
)


@dataclass(frozen=True)
class Way:
    """How a step is made."""

    layout: str | None
    """None: one patch as large as the frame."""
    at_once: int = 1
    adapted: bool = False
    """With an adapter, ..."""
    again: bool = True
    """... whose features are those of a step before."""


WAYS = {
    "patches": Way("corner"),
    "patches, 4 at once": Way("corner", 4),
    "patches, pairwise": Way("pairwise"),
    "patches, alternating": Way("alternating"),
    "patches, adapter, first step": Way("corner", adapted=True, again=False),
    "patches, adapter, later step": Way("corner", adapted=True),
    WHOLE: Way(None),
}


def planned(way: Way, target: tuple[int, int], frames: int, px: int) -> PatchPlan:
    """All frames in one window of time."""
    source = target[0] // 4, target[1] // 4
    canvas = Canvas(frames, source, target, STRIDE_PX, STRIDE_FRAMES)
    side = px if way.layout else max(canvas.padded_px)
    return plan_patches(canvas, patch_px=side, layout=way.layout or "corner", window_frames=frames, overlap_frames=0)


def one_step(way: Way, plan: PatchPlan, base: Base, adapter: Adapter | None, tokens: int) -> Work:
    """A step over the plan, or one for each of its grids, on noise."""
    weight = base.transformer.patch_embedding.weight
    latent = torch.randn(1, base.spec.channels, *plan.canvas.latent_shape, device=weight.device)
    text = torch.randn(1, tokens, base.spec.text_dim, device=weight.device, dtype=weight.dtype)
    used = adapter if way.adapted else None
    t, h, w = plan.patch_size
    controls = Controls(plan, latent, view=latent[:, :, :t, :h, :w] if used else None, adapter=used)
    told, sigma = partial(controls, again=way.again), torch.tensor(SIGMA)

    def work() -> None:
        denoiser = DiffusersDenoiser(base, [text], used, keep_text=True)
        try:
            with torch.inference_mode():
                for step in range(plan.phases):
                    patches = plan.at_step(step)
                    fuse(denoiser, latent, sigma, patches, told, patches_at_once=way.at_once, step=step)
        finally:
            denoiser.close()

    return work


def measured(make: Callable[[Way], tuple[PatchPlan, Work]], rounds: int, device: str) -> list[dict[str, Any]]:
    """A row for every way; the run for its memory warms up."""
    rows: dict[str, dict[str, Any]] = {}
    works = {}
    for name, way in WAYS.items():
        with fits(rows.setdefault(name, {"way": name}), "seconds", "ratio", "mib"):
            plan, work = make(way)
            tokens = plan.patch_size[0] * plan.patch_size[1] * plan.patch_size[2] // TOKEN_CELLS**2
            mean = len(plan.patches) / plan.phases if plan.phases > 1 else len(plan.patches)
            rows[name] |= {"patches": mean, "tokens": tokens, "phases": plan.phases}
            rows[name]["mib"] = peak_bytes(work, device) / MIB
            works[name] = always(work)
    for name, timing in (timings := in_turn(works, rounds, warm_up=0)).items():
        phases = rows[name]["phases"]
        rows[name] |= {"seconds": timing.median / phases, "spread": timing.spread}
        if WHOLE in timings:
            rows[name]["ratio"] = timing.ratio(timings[WHOLE]) / phases
    return list(rows.values())


COLUMNS = (
    Column("way", "step"),
    Column("patches", "patches", 1),
    Column("tokens", "tokens of each"),
    Column("seconds", "s/step"),
    Column("ratio", "x whole frame"),
    Column("mib", "MiB", 0),
)


def built(config: TrainConfig, device: str) -> tuple[Base, Adapter]:
    """Base and adapter with random weights, in bfloat16; in float32 on a CPU, which is faster there."""
    logging.set_verbosity_error()  # it warns of casts that random weights do not mind
    base = random_base(config, device)
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    base.transformer.to(dtype)
    return base, Adapter(config.adapter_config).to(device, dtype).requires_grad_(False).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="wan21_1p3b")
    parser.add_argument("--width", type=int, default=128, help="of the base that runs, a multiple of 128")
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--px", type=int, default=256, help="side of a patch")
    parser.add_argument("--frames", type=int, default=5, help="1 + a multiple of 4")
    parser.add_argument("--outputs", type=size, nargs="+", default=[(512, 512), (720, 1280)])
    parser.add_argument("--rounds", type=int, default=2)
    add_common(parser)
    options = parsed(parser)
    torch.manual_seed(0)
    config = load_config(options.config)
    tokens = round(512 * options.width / config.base.width)
    if (options.width, options.blocks) != (config.base.width, config.base.layers):
        config = narrowed(config, options.width, options.blocks)
    base, adapter = built(config, options.device)
    parts: list[Records] = []
    heading = f"A step of {options.config} with random weights"

    def make(target: tuple[int, int], way: Way) -> tuple[PatchPlan, Work]:
        plan = planned(way, target, options.frames, options.px)
        return plan, one_step(way, plan, base, adapter, tokens)

    for target in options.outputs:
        rows = measured(partial(make, target), options.rounds, options.device)
        title = f"{named(target)}, {options.frames} frames, width {options.width}, {options.blocks} blocks"
        parts.append(Records(named(target), title, COLUMNS, rows))
        keep(options, heading, parts, NOTES)
    publish(options, heading, parts, NOTES)


if __name__ == "__main__":
    main()
