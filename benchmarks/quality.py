"""PSNR of the default against bicubic and bicubic + back-projection on real clips.

The input is made from each clip by bicubic reduction, rounded to 8 bits:

    python benchmarks/quality.py examples/sample_original.mp4 --scale 4
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from patchvsr_core.fidelity import back_project
from patchvsr_core.hosts.models import load_models
from patchvsr_core.pipeline import make_plan, upscale
from patchvsr_core.resample import resize
from patchvsr_core.video import read_clip


def psnr(frames: Tensor, truth: Tensor) -> float:
    """Decibels over all frames and channels, after rounding to 8 bits."""
    rounded = (frames.clamp(0, 1) * 255).round() / 255
    return float(-10 * (rounded - truth).square().mean().log10())


def reduced(truth: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """(truth cropped to a multiple of the scale, its 8-bit bicubic reduction)."""
    height, width = (side // scale * scale for side in truth.shape[1:3])
    truth = truth[:, :height, :width]
    small = resize(truth, (height // scale, width // scale)).clamp(0, 1)
    return truth, (small * 255).round() / 255


def seam_ratio(frames: Tensor, borders: list[int]) -> float:
    """Mean horizontal gradient across patch borders over that at the same phase elsewhere."""
    gradient = frames.diff(dim=2).abs().mean((0, 1, 3))
    columns = torch.arange(len(gradient))
    here = torch.isin(columns + 1, torch.tensor(borders))
    near = torch.zeros_like(here)
    for offset in range(-24, 25, 8):
        near[(columns[here] + offset).clamp(0, len(columns) - 1)] = True
    return float(gradient[here].mean() / gradient[near & ~here].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--frames", type=int, default=1000, help="use so many frames at most")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--save", type=Path, help="folder for PNGs of the middle frame")
    options = parser.parse_args()
    models = load_models("tiny")
    settings = replace(models.defaults, steps=options.steps or models.defaults.steps)
    print(f"{'clip':28} {'bicubic':>8} {'+ b.-p.':>8} {'default':>8} {'gain':>6} {'seam':>6} {'s/frame':>8}")
    for path in options.clips:
        truth, small = reduced(read_clip(path).frames[: options.frames], options.scale)
        size = int(truth.shape[1]), int(truth.shape[2])
        bicubic = resize(small, size)
        start = time.monotonic()
        result = upscale(small, size, models, settings)
        seconds = (time.monotonic() - start) / len(truth)
        projected = back_project(bicubic, small)
        scores = [psnr(frames, truth) for frames in (bicubic, projected, result)]
        plan = make_plan(len(truth), (int(small.shape[1]), int(small.shape[2])), size, models, settings)
        borders = sorted({p.origin[2] * 8 for p in plan.primary} - {0})
        seam = seam_ratio(result, borders) if borders else 1.0
        row = " ".join(f"{score:8.2f}" for score in scores)
        print(f"{path.name:28} {row} {scores[2] - scores[1]:6.2f} {seam:6.3f} {seconds:8.2f}", flush=True)
        if options.save:
            save(options.save, path.stem, bicubic, projected, result, truth)


def save(folder: Path, stem: str, *versions: Tensor) -> None:
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    for name, frames in zip(("bicubic", "projected", "default", "truth"), versions, strict=True):
        pixels = (frames[len(frames) // 2].clamp(0, 1) * 255).round().byte().numpy()
        cv2.imwrite(str(folder / f"{stem}_{name}.png"), pixels[:, :, ::-1])


if __name__ == "__main__":
    main()
