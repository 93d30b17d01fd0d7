"""Time and memory of attention propagation and detail guidance on a Wan with random weights.

A CPU takes hours for the real size. A narrow model with as many tokens for its width as the real
one (13 for each channel at 77 frames of 512 px) spends the same part of its time in attention,
and so tells the ratios; memory is counted for the real size.

    python benchmarks/attention.py
    python benchmarks/attention.py --width 1536 --px 512 --frames 77 --blocks 30 --device cuda
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from measuring import Column, Records, Variant, Work, add_common, in_turn, parsed, publish
from real_size import narrowed, random_base

from patchvsr_core.hosts.diffusers.denoiser import Base, DiffusersDenoiser
from patchvsr_core.plan.canvas import Canvas, PatchPlan
from patchvsr_core.plan.planner import plan_patches
from patchvsr_core.propagation.attention import AttentionRun, cache_bytes
from patchvsr_core.propagation.attention_options import AttentionOptions
from patchvsr_core.sampling.joint_modulation import fuse
from patchvsr_core.training.config import load_config

VARIANTS = {
    "off": AttentionOptions(),
    "SAP": AttentionOptions(spatial=True),
    "SAP lazy": AttentionOptions(spatial=True, lazy=True),
    "SAP, a third of the blocks": AttentionOptions(spatial=True, layers=tuple(range(10))),
    "TAP, 1 frame": AttentionOptions(temporal=True, choice="nearest"),
    "DSSAG": AttentionOptions(softening=(1.5, 1.5)),
}
BF16 = 2
REAL_PX, REAL_FRAMES = 512, 77


def second_step(base: Base, plan: PatchPlan, options: AttentionOptions, tokens: int) -> Variant:
    """A second step over all patches and both branches of guidance; the first one, not timed, fills the caches."""
    weight = base.transformer.patch_embedding.weight

    def variant(_: int) -> Work:
        x = torch.randn(1, base.spec.channels, *plan.canvas.latent_shape, device=weight.device)
        shape = 1, tokens, base.spec.text_dim
        texts = [torch.randn(shape, device=weight.device, dtype=weight.dtype) for _ in range(2)]
        run = AttentionRun(options, plan, 1)
        denoiser = DiffusersDenoiser(base, texts, attention=run if options.active else None)

        def step() -> None:
            with torch.inference_mode():
                fuse(denoiser, x, torch.tensor(0.5), plan.patches, lambda patches: None, attention=run)

        def last_step() -> None:
            step()
            denoiser.close()

        step()
        return last_step

    return variant


def two_windows(px: int, frames: int) -> PatchPlan:
    """Two patches side by side, twice in time."""
    canvas = Canvas(2 * frames - 1, (px, 2 * px), (px, 2 * px), stride_frames=4)
    return plan_patches(canvas, patch_px=px, window_frames=frames, overlap_frames=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="wan21_1p3b")
    parser.add_argument("--width", type=int, default=128, help="of the model that runs, a multiple of 128")
    parser.add_argument("--px", type=int, default=256, help="side of a patch")
    parser.add_argument("--frames", type=int, default=25, help="video frames of a window of time")
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    add_common(parser)
    options = parsed(parser)
    config = load_config(options.config)
    real, tokens = config.base, round(512 * options.width / config.base.width)
    base = random_base(narrowed(config, options.width, options.blocks), options.device)
    if options.device == "cpu":
        base.transformer.float()
    plan = two_windows(options.px, options.frames)
    acting = {
        name: choice if choice.layers is None else replace(choice, layers=tuple(range(max(1, options.blocks // 3))))
        for name, choice in VARIANTS.items()
    }
    variants = {name: second_step(base, plan, choice, tokens) for name, choice in acting.items()}
    timings = in_turn(variants, options.rounds, warm_up=0)
    # On a processor count the time that this process had: others do not count.
    kind = "cpu" if options.device == "cpu" else "wall"
    real_plan = two_windows(REAL_PX, REAL_FRAMES)
    rows = [
        {
            "option": name,
            "seconds": statistics.median(getattr(timings[name], kind)),
            "ratio": timings[name].ratio(timings["off"], kind),
            "kept": 2 * cache_bytes(choice, real_plan, real.width, real.layers, BF16) / 2**30,
        }
        for name, choice in VARIANTS.items()
    ]
    title = f"Width {options.width}, {options.blocks} blocks, {len(plan.patches)} patches of {plan.patch_size} cells"
    notes = (
        f"2 x 1 primary patches and the one between them, in two windows of time, both branches of guidance. GiB kept: "
        f"keys and values at the real size of {options.config} ({real.layers} blocks of width {real.width}, patches of "
        f"{REAL_PX} px and {REAL_FRAMES} frames) in bfloat16."
    )
    publish(options, "Cost of attention propagation", [Records("attention", title, COLUMNS, rows)], notes)


COLUMNS = (
    Column("option", "option"),
    Column("seconds", "s/step"),
    Column("ratio", "ratio"),
    Column("kept", "GiB kept"),
)


if __name__ == "__main__":
    main()
