"""What each part of the tiny default contributes: PSNR with one part changed at a time.

python benchmarks/ablations.py examples/sample_original.mp4 --frames 8
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from quality import psnr, reduced

from patchvsr_core.fidelity import back_project
from patchvsr_core.hosts.models import Models, load_models
from patchvsr_core.layout import PatchPlan
from patchvsr_core.pipeline import upscale
from patchvsr_core.resample import resize
from patchvsr_core.settings import Settings
from patchvsr_core.video import read_clip

PLAIN = {"refine_strength": 0.0, "fidelity_rounds": 0}


def variants(models: Models) -> Iterator[tuple[str, Models, Settings]]:
    """(name, models, settings), the default first; then the base alone, without refiner and back-projection."""
    whole = models.defaults
    base = replace(whole, **PLAIN)
    for prefix, settings in (("", whole), ("base alone, ", base)):
        yield f"{prefix}all parts", models, settings
        yield f"{prefix}adapter off", replace(models, adapter=None), settings
        yield f"{prefix}patch branch off", models, replace(settings, patch_strength=0.0)
        yield f"{prefix}global branch off", models, replace(settings, global_strength=0.0)
        yield f"{prefix}places shuffled", models, settings
        for steps in (2, 4):
            yield f"{prefix}{steps} steps", models, replace(settings, steps=steps)
    yield "refiner off", models, replace(whole, refine_strength=0.0)
    yield "back-projection off", models, replace(whole, fidelity_rounds=0)
    yield "single frames", models, replace(whole, window_frames=1, overlap_frames=0)


def run(name: str, small: Tensor, size: tuple[int, int], models: Models, settings: Settings) -> Tensor:
    if name.endswith("single frames"):
        return torch.cat([upscale(frame[None], size, models, settings) for frame in small])
    if not name.endswith("places shuffled"):
        return upscale(small, size, models, settings)
    locations = PatchPlan.locations
    with patch.object(PatchPlan, "locations", lambda plan, patches, grid: locations(plan, patches, grid).flip(-1, -2)):
        return upscale(small, size, models, settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--frames", type=int, default=8, help="use so many frames at most")
    options = parser.parse_args()
    models = load_models("tiny")
    pairs = [reduced(read_clip(path).frames[: options.frames], options.scale) for path in options.clips]
    size = [(int(truth.shape[1]), int(truth.shape[2])) for truth, _ in pairs]
    enlarged = [resize(small, s) for (_, small), s in zip(pairs, size, strict=True)]
    projected = [back_project(big, small) for big, (_, small) in zip(enlarged, pairs, strict=True)]
    print("mean PSNR, dB")
    for name, results in (("bicubic", enlarged), ("bicubic + back-projection", projected)):
        show(name, results, pairs)
    for name, used, settings in variants(models):
        results = [run(name, small, s, used, settings) for (_, small), s in zip(pairs, size, strict=True)]
        show(name, results, pairs)


def show(name: str, results: list[Tensor], pairs: list[tuple[Tensor, Tensor]]) -> None:
    scores = [psnr(result, truth) for result, (truth, _) in zip(results, pairs, strict=True)]
    print(f"{name:36} {sum(scores) / len(scores):8.3f}", flush=True)


if __name__ == "__main__":
    main()
