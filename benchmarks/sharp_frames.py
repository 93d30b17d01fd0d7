"""What a refiner does to frames that are sharp already, as those of most models are: it was trained on soft ones.

Originals stand for the frames of such a model, with their own reductions as input: nothing should change.

    python benchmarks/sharp_frames.py examples/sample_original.mp4 CLIPS --markdown sharp_frames.md
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from metrics import checker_energy, edge_energy, psnr
from pairs import Pair, read_pair
from tables import Table, as_text, mean, number, write_markdown

from patchvsr_core.finish.refine import Refiner, load_refiner, refine_frames
from patchvsr_core.resample import resize
from patchvsr_core.weights import shipped

REFINERS = {"plain": "tiny_refiner.safetensors", "conditional": "tiny_conditional.safetensors"}
CHOICES = [(strength, detail) for strength in (0.5, 1.0) for detail in (0.0, 0.5)]
"""Strength and ``detail`` of the refiner."""
COLUMNS = {"PSNR": psnr, "edges": edge_energy, "checker": checker_energy}
NOTES = (
    "Sharp frames are the originals, refined with their own reductions as input; soft ones are those reductions, "
    "upsampled by bicubic. PSNR in dB; edges and checker: energy of brightness gradients and of the highest diagonal "
    "frequency, over the original's."
)


@torch.inference_mode()
def scores(refiner: Refiner, pair: Pair, strength: float, detail: float, *, soft: bool) -> list[float]:
    """In the order of the columns."""
    frames = resize(pair.small, pair.size).clamp(0, 1) if soft else pair.truth
    refined = refine_frames(refiner, frames, pair.small, strength=strength, detail=detail) if strength else frames
    return [metric(refined, pair.truth) for metric in COLUMNS.values()]


def table_of(pairs: list[Pair], *, soft: bool) -> Table:
    """Means over the clips."""
    rows = []
    for name, file in REFINERS.items():
        refiner = load_refiner(shipped(file))
        for strength, detail in [(0.0, 0.0), *CHOICES] if soft else CHOICES:
            every = [scores(refiner, pair, strength, detail, soft=soft) for pair in pairs]
            cells = (number(mean(values), 2) for values in zip(*every, strict=True))
            rows.append((f"{name}, strength {strength:g}, detail {detail:g}", *cells))
            print(rows[-1], file=sys.stderr, flush=True)
    return Table("soft frames" if soft else "sharp frames", ("refiner", *COLUMNS), tuple(rows))


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    pairs = [read_pair(path, options.scale, options.frames, "clean") for path in options.clips]
    tables = [table_of(pairs, soft=soft) for soft in (False, True)]
    for table in tables:
        print(as_text(table))
    if options.markdown:
        write_markdown(options.markdown, "Refiners on sharp frames", tables, NOTES, sys.argv)


if __name__ == "__main__":
    main()
