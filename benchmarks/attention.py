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
import time
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from real_size import random_base
from tables import Table, as_text, write_markdown

from patchvsr_core.fusion import fuse
from patchvsr_core.hosts.diffusers import Base, DiffusersDenoiser
from patchvsr_core.layout import Canvas, PatchPlan
from patchvsr_core.planner import plan_patches
from patchvsr_core.propagation.attention import AttentionRun, cache_bytes
from patchvsr_core.propagation.attention_options import AttentionOptions
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


def seconds(base: Base, plan: PatchPlan, options: AttentionOptions, tokens: int, device: str) -> float:
    """Time of a second step over all patches and both branches of guidance, once caches are filled.

    On a CPU it is the time that the process had, so that other processes do not count.
    """
    weight = base.transformer.patch_embedding.weight
    x = torch.randn(1, 16, *plan.canvas.latent_shape, device=device)
    texts = [torch.randn(1, tokens, 4096, device=device, dtype=weight.dtype) for _ in range(2)]
    clock = time.process_time if device == "cpu" else time.perf_counter
    run = AttentionRun(options, plan, 1)
    denoiser = DiffusersDenoiser(base, texts, attention=run if options.active else None)
    took = 0.0
    with torch.inference_mode():
        for _ in range(2):
            start = clock()
            fuse(denoiser, x, torch.tensor(0.5), plan.patches, lambda patches: None, attention=run)
            if device != "cpu":
                torch.cuda.synchronize()
            took = clock() - start
    denoiser.close()
    return took


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
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--markdown", type=Path, help="file to write the table to")
    options = parser.parse_args()
    config = load_config(options.config)
    real, part = config.base, options.width / config.base.width
    narrow = replace(real, layers=options.blocks, width=options.width, ffn=round(real.ffn * part))
    base = random_base(replace(config, base=narrow), options.device)
    if options.device == "cpu":
        base.transformer.float()
    plan = two_windows(options.px, options.frames)
    real_plan = two_windows(REAL_PX, REAL_FRAMES)
    acting = {
        name: choice if choice.layers is None else replace(choice, layers=tuple(range(max(1, options.blocks // 3))))
        for name, choice in VARIANTS.items()
    }
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(options.repeats):  # in turn, so that a slow moment of the machine meets all of them
        for name, choice in acting.items():
            times[name].append(seconds(base, plan, choice, round(512 * part), options.device))
            print(name, f"{times[name][-1]:.2f}", file=sys.stderr, flush=True)
    rows = []
    for name, choice in VARIANTS.items():
        ratio = statistics.median(a / b for a, b in zip(times[name], times["off"], strict=True))
        kept = 2 * cache_bytes(choice, real_plan, real.width, real.layers, BF16) / 2**30
        rows.append((name, f"{statistics.median(times[name]):.2f}", f"{ratio:.2f}", f"{kept:.2f}"))
    title = f"Width {options.width}, {options.blocks} blocks, {len(plan.patches)} patches of {plan.patch_size} cells"
    table = Table(title, ("option", "s/step", "ratio", "GiB kept"), tuple(rows))
    notes = (
        f"2 x 1 primary patches and the one between them, in two windows of time, both branches of guidance. GiB kept: "
        f"keys and values at the real size of {options.config} ({real.layers} blocks of width {real.width}, patches of "
        f"{REAL_PX} px and {REAL_FRAMES} frames) in bfloat16."
    )
    print(as_text(table), notes, sep="\n")
    if options.markdown:
        write_markdown(options.markdown, "Cost of attention propagation", [table], notes, sys.argv)


if __name__ == "__main__":
    main()
