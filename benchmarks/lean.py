"""What a leaner schedule saves, and what it costs: alternating grids, auxiliary patches at a few steps, economy.

Every variant is compared with the corner layout at the same number of steps on the same clip. The primary grid
alone is the cheapest of all, and shows what seams look like in these numbers.

    python benchmarks/lean.py examples/sample_original.mp4 CLIPS --frames 8
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from metrics import psnr
from pairs import Pair, read_pair
from patches import load_patches
from pictures import middle, write_png
from tables import Table, as_text, mean, number, write_markdown

from patchvsr_core.hosts.diffusers.denoiser import DiffusersDenoiser
from patchvsr_core.hosts.diffusers.models import Models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.quality import seam_energy
from patchvsr_core.sampling.schedules import noise_levels
from patchvsr_core.settings import Settings
from patchvsr_core.stages import make_plan

NOTES = (
    "patches: runs of the base on a patch, beside corner's. s: processor time of the whole run, beside corner's. "
    "PSNR in dB and seam energy (1: borders do not show) at the borders of the corner layout; differences to corner."
)


@dataclass(frozen=True)
class Score:
    """Of one variant on one clip."""

    patches: int
    seconds: float
    psnr: float
    seam: float


def variants(settings: Settings) -> dict[str, Settings]:
    """By name; the first is what the others are compared with."""
    last = float(noise_levels(settings)[settings.steps - 1])
    changes: dict[str, dict[str, Any]] = {
        "corner": {},
        "overlapping": {"layout": "overlapping"},
        "alternating": {"layout": "alternating"},
        "auxiliary at the last step": {"auxiliary_start": last},
        "economy 2": {"skip_interval": 2},
        "economy 4": {"skip_interval": 4},
        "primary grid alone": {"auxiliary_start": 0.0},
    }
    if settings.steps == 1:
        del changes["alternating"], changes["auxiliary at the last step"], changes["economy 4"]
    return {name: replace(settings, **{"layout": "corner", **change}) for name, change in changes.items()}


class Counter:
    """Counts the patches that the base runs on."""

    def __init__(self) -> None:
        self.patches = 0
        original = DiffusersDenoiser.__call__

        def counted(denoiser: DiffusersDenoiser, x: Tensor, *rest: Any) -> list[Tensor]:
            self.patches += len(x)
            return original(denoiser, x, *rest)

        DiffusersDenoiser.__call__ = counted  # type: ignore[method-assign]


def letterboxed(pair: Pair, rows: int, scale: int) -> Pair:
    """With black bars above and below, of whole pixels of the input."""
    small = rows // scale
    truth, given = (
        F.pad(frames, (0, 0, 0, 0, bar, bar)) for frames, bar in ((pair.truth, small * scale), (pair.small, small))
    )
    return Pair(pair.name, truth, given)


def score(pair: Pair, settings: Settings, models: Models, counter: Counter) -> tuple[Score, Tensor]:
    """Of one variant, with its result."""
    counter.patches, start = 0, time.process_time()
    result = upscale(pair.small, pair.size, models, settings)
    seconds = time.process_time() - start
    source = int(pair.small.shape[1]), int(pair.small.shape[2])
    plan = make_plan(len(result), source, pair.size, models, replace(settings, layout="corner"))
    return Score(counter.patches, seconds, psnr(result, pair.truth), seam_energy(result, pair.small, plan)), result


def table(title: str, scores: dict[str, list[Score]]) -> Table:
    """Means over clips."""
    rows = []
    first = next(iter(scores.values()))
    for name, own in scores.items():
        pairs = list(zip(own, first, strict=True))
        cells = (
            number(mean([a.patches / b.patches for a, b in pairs]), 2),
            number(mean([a.seconds / b.seconds for a, b in pairs]), 2),
            number(mean([a.psnr for a in own]), 2),
            f"{mean([a.psnr - b.psnr for a, b in pairs]):+.3f}",
            f"{min(a.psnr - b.psnr for a, b in pairs):+.3f}",
            number(mean([a.seam for a in own]), 3),
            f"{100 * mean([a.seam / b.seam - 1 for a, b in pairs]):+.1f}",
            f"{100 * max(a.seam / b.seam - 1 for a, b in pairs):+.1f}",
        )
        rows.append((name, *cells))
    heads = ("variant", "patches", "s", "PSNR", "mean", "worst", "seam", "mean %", "worst %")
    return Table(title, heads, tuple(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 1])
    parser.add_argument("--patch-px", type=int, help="default: the model's")
    parser.add_argument("--bars", type=int, default=0, help="black rows to add above and below, for economy")
    parser.add_argument("--only", help="variants, with commas; corner is always there")
    parser.add_argument("--save", type=Path, help="folder for PNGs of the middle frames")
    parser.add_argument("--markdown", type=Path, help="file to write the tables to")
    options = parser.parse_args()
    models, counter, tables = load_patches(), Counter(), []
    for steps in options.steps:
        settings = replace(models.defaults, steps=steps, patch_px=options.patch_px or models.defaults.patch_px)
        chosen = variants(settings)
        if options.only:
            wanted = {"corner", *options.only.split(",")}
            chosen = {name: value for name, value in chosen.items() if name in wanted}
        scores: dict[str, list[Score]] = {name: [] for name in chosen}
        for path in options.clips:
            pair = letterboxed(read_pair(path, options.scale, options.frames, "clean"), options.bars, options.scale)
            for name, changed in chosen.items():
                found, result = score(pair, changed, models, counter)
                scores[name].append(found)
                print(f"{steps} steps, {pair.name}, {name}: {found}", file=sys.stderr, flush=True)
                if options.save:
                    write_png(options.save / f"{pair.name}_{steps}_{name.replace(' ', '_')}.png", middle(result))
        tables.append(table(f"{steps} step(s), mean over {len(options.clips)} clip(s)", scores))
        print(as_text(tables[-1]), flush=True)
    print(NOTES)
    if options.markdown:
        write_markdown(options.markdown, "A leaner schedule", tables, NOTES, sys.argv)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
