"""What each part of the tiny default contributes: one part changed at a time.

Global context matters most where a patch sees little: large scales and small patches.

    python benchmarks/ablations.py examples/sample_original.mp4 --frames 8
    python benchmarks/ablations.py examples/sample_original.mp4 --frames 8 --scale 8 --patch-px 64
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import metrics
from pairs import Pair, read_pair
from patches import load_patches
from quality import METHODS, Method, changed
from tables import Table, as_text, mean, number, write_markdown

from patchvsr_core.hosts.diffusers.models import Models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.plan.canvas import Patch, PatchPlan

PLAIN = {"refine_strength": 0.0, "fidelity_rounds": 0}
"""The base alone, without what comes after it."""
SHOWN = ("PSNR", "GMSD", "temporal error")
NOTES = "PSNR in dB, higher is better; GMSD and temporal error (x1000), lower is better."


def without_adapter(small: Tensor, size: tuple[int, int], models: Models) -> Tensor:
    return upscale(small, size, replace(models, adapter=None))


def without_lora(small: Tensor, size: tuple[int, int], models: Models) -> Tensor:
    with patch.object(models.adapter, "lora", None):
        return upscale(small, size, models)


def places_shuffled(small: Tensor, size: tuple[int, int], models: Models) -> Tensor:
    """The adapter is told another patch's place, in the location mask and in the crop condition."""
    locations, positions = PatchPlan.locations, PatchPlan.crop_positions
    with (
        patch.object(PatchPlan, "locations", lambda plan, patches, grid: locations(plan, moved(plan, patches), grid)),
        patch.object(PatchPlan, "crop_positions", lambda plan, patches: positions(plan, moved(plan, patches))),
    ):
        return upscale(small, size, models)


def moved(plan: PatchPlan, patches: Sequence[Patch]) -> list[Patch]:
    """The patches at places half the plan further on; time stays."""
    places = sorted({p.origin[1:] for p in plan.patches})
    shift = len(places) // 2
    new = {place: places[(index + shift) % len(places)] for index, place in enumerate(places)}
    return [replace(p, origin=(p.origin[0], *new[p.origin[1:]])) for p in patches]


def parts(models: Models) -> dict[str, Method]:
    """What is tried with and without refiner and back-projection."""
    lora = {"LoRA off": without_lora} if models.adapter is not None and models.adapter.lora is not None else {}
    return {
        "all parts": changed(),
        "adapter off": without_adapter,
        **lora,
        "patch branch off": changed(patch_strength=0.0),
        "global branch off": changed(global_strength=0.0),
        "places shuffled": places_shuffled,
        "2 steps": changed(steps=2),
        "4 steps": changed(steps=4),
    }


def variants(models: Models) -> Iterator[tuple[str, Method, Models]]:
    """(name, method, models to give it): the baselines, the default, then the base alone."""
    for name in ("bicubic", "bicubic + back-projection"):
        yield name, METHODS[name], models
    for name, method in parts(models).items():
        yield name, method, models
    yield "refiner off", changed(refine_strength=0.0), models
    yield "back-projection off", METHODS["no back-projection"], models
    yield "single frames", METHODS["single frames"], models
    alone = replace(models, defaults=replace(models.defaults, **PLAIN))
    for name, method in parts(models).items():
        yield f"base alone, {name}", method, alone


def row(name: str, method: Method, pairs: list[Pair], models: Models) -> tuple[str, ...]:
    """The cells of one variant, means over clips."""
    results = [method(pair.small, pair.size, models) for pair in pairs]
    cells = []
    for metric in SHOWN:
        scores = [metrics.METRICS[metric](result, pair.truth) for result, pair in zip(results, pairs, strict=True)]
        cells.append(number(mean(scores), metrics.DIGITS[metric]))
    print(f"{name}: {' '.join(cells)}", file=sys.stderr, flush=True)
    return name, *cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--frames", type=int, default=8, help="use so many frames at most")
    parser.add_argument("--patch-px", type=int, help="side of a patch (default: the model's)")
    parser.add_argument("--adapter", type=Path, help="another adapter for the tiny default (default: the shipped one)")
    parser.add_argument("--only", default="", help="variants whose name begins so, besides bicubic")
    parser.add_argument("--markdown", type=Path, help="file to write the table to")
    options = parser.parse_args()
    models = load_patches(adapter=options.adapter)
    patch_px = options.patch_px or models.defaults.patch_px
    models = replace(models, defaults=replace(models.defaults, layout="corner", patch_px=patch_px))
    pairs = [read_pair(path, options.scale, options.frames, "clean") for path in options.clips]
    chosen = [v for v in variants(models) if v[0] == "bicubic" or v[0].startswith(options.only)]
    rows = tuple(row(name, method, pairs, used) for name, method, used in chosen)
    title = f"x{options.scale}, patches of {patch_px} px: mean over {len(pairs)} clip(s)"
    table = Table(title, ("variant", *SHOWN), rows)
    has_lora = models.adapter is not None and models.adapter.lora is not None
    notes = NOTES if has_lora else f"{NOTES} The adapter has no LoRA (rank 0), so there is none to turn off."
    print(as_text(table), notes, sep="\n")
    if options.markdown:
        write_markdown(options.markdown, "Ablations", [table], notes, sys.argv)


if __name__ == "__main__":
    main()
