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

import cv2
import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from patchvsr_core.fidelity import back_project
from patchvsr_core.hosts.models import load_models
from patchvsr_core.layout import PatchPlan
from patchvsr_core.pipeline import make_plan, upscale
from patchvsr_core.resample import resize
from patchvsr_core.video import read_clip

NAMES = ("bicubic", "bicubic + back-projection", "PatchVSR", "original")
CROP = 240


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


def seam_ratio(frames: Tensor, seamless: Tensor, plan: PatchPlan) -> float:
    """Mean gradient across patch borders over that across other cells, relative to a version without patches.

    1: borders do not show. The picture itself has gradients there too; dividing by those of
    ``seamless``, made without patches, takes them out. Borders are the inner edges of all patches,
    primary and auxiliary; they lie between cells of the codec and are compared with others that do.
    """
    at_border, elsewhere = [], []
    for axis in (1, 2):
        stride, length = plan.canvas.stride_px, frames.shape[axis]
        edges = {edge * stride for p in plan.patches for edge in (p.origin[axis], p.origin[axis] + p.size[axis])}
        borders = torch.tensor(sorted(edge for edge in edges if 0 < edge < length), dtype=torch.long)
        here = torch.zeros(length - 1, dtype=torch.bool)
        here[borders - 1] = True
        cells = torch.arange(1, length) % stride == 0
        for versions, lines in ((at_border, here), (elsewhere, cells & ~here)):
            versions.append(torch.stack([_gradients(v, axis)[lines].sum() for v in (frames, seamless)]))
    (result, expected), (result_else, expected_else) = (torch.stack(v).sum(0) for v in (at_border, elsewhere))
    return float(result / expected / (result_else / expected_else))


def _gradients(frames: Tensor, axis: int) -> Tensor:
    """Mean absolute difference of neighbours, line by line along ``axis``."""
    return frames.diff(dim=axis).abs().double().mean([d for d in range(4) if d != axis])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--frames", type=int, default=1000, help="use so many frames at most")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--save", type=Path, help="folder for PNGs of the middle frame and of a 1:1 comparison")
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
        seam = seam_ratio(result, projected, plan) if len(plan.patches) > 1 else 1.0
        row = " ".join(f"{score:8.2f}" for score in scores)
        print(f"{path.name:28} {row} {scores[2] - scores[1]:6.2f} {seam:6.3f} {seconds:8.2f}", flush=True)
        if options.save:
            save(options.save, path.stem, bicubic, projected, result, truth)


def save(folder: Path, stem: str, *versions: Tensor) -> None:
    """The middle frame of every version as PNG, and their most detailed regions side by side at 1:1."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = [(frames[len(frames) // 2].clamp(0, 1) * 255).round().byte().numpy()[:, :, ::-1] for frames in versions]
    for name, picture in zip(NAMES, pixels, strict=True):
        cv2.imwrite(str(folder / f"{stem}_{name.replace(' ', '')}.png"), picture)
    top, left = most_detailed(pixels[-1])
    shown = [
        labelled(picture[top : top + CROP, left : left + CROP], name)
        for name, picture in zip(NAMES, pixels, strict=True)
    ]
    cv2.imwrite(str(folder / f"{stem}_compare.png"), np.concatenate(shown, axis=1))


def most_detailed(picture: np.ndarray) -> tuple[int, int]:
    """Top left corner of the square with the strongest fine detail."""
    energy = np.abs(cv2.Laplacian(picture.astype(np.float32), cv2.CV_32F)).sum(axis=2)
    means = cv2.boxFilter(energy, -1, (CROP, CROP), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    valid = means[: picture.shape[0] - CROP + 1, : picture.shape[1] - CROP + 1]
    top, left = np.unravel_index(valid.argmax(), valid.shape)
    return int(top), int(left)


def labelled(picture: np.ndarray, text: str) -> np.ndarray:
    bar = np.full((24, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, text, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([picture, bar])


if __name__ == "__main__":
    main()
