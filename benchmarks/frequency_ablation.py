"""What STAR's dynamic frequency loss does: a toy flow model for pictures, trained with it and without.

    python benchmarks/frequency_ablation.py PHOTOGRAPHS

A few convolutions predict the velocity from a noised crop, its level, and the crop as bicubic upsampling shows it. All
runs see the same crops, levels and noise. What is measured is x0 on crops that were not trained on: how true it is, and
how far its low and high frequencies are off.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import itertools

from tables import Table, as_text, number, write_markdown

from patchvsr_core.sampling.solvers import euler, sigma_schedule
from patchvsr_core.training.frequency import radial, weighted_frequency
from patchvsr_core.training.rdg_task import read_photographs

SIDE, SCALE, BATCH, WIDTH = 32, 4, 16, 48
RUNS = {"without": (0.0, "radial"), "radial, 0.01": (0.01, "radial"), "radial, 0.1": (0.1, "radial"),
        "star_release, 0.01": (0.01, "star_release")}  # fmt: skip
LEVELS = (0.2, 0.5, 0.8)
TESTED = 256
NOTES = (
    "x0: PSNR of the prediction from a state at this noise level. Low, high: mean L1 of its Fourier coefficients below "
    "and above a quarter of Nyquist's frequency, relative to the run without the loss. Sampled: 8 Euler steps from "
    "noise; edges are its gradient energy over that of the truth."
)


class Toy(nn.Module):
    """(N, 3, h, w) state, level and condition to x0."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [7, WIDTH, WIDTH, WIDTH, WIDTH]
        self.body = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(sizes))
        self.last = nn.Conv2d(WIDTH, 3, 3, padding=1)

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        y = torch.cat([x, condition, sigma.view(-1, 1, 1, 1).expand_as(x[:, :1])], 1)
        for index, conv in enumerate(self.body):
            y = F.silu(conv(y)) + (y if index else 0)
        return condition + self.last(y)


def crops(photographs: list[Tensor], rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """((N, 3, side, side) crops in [-1, 1], the same as bicubic upsampling shows them)."""
    found = []
    for _ in range(count):
        picture = photographs[rng.integers(len(photographs))]
        top, left = (int(rng.integers(0, side - SIDE + 1)) for side in picture.shape[:2])
        found.append(picture[top : top + SIDE, left : left + SIDE].movedim(-1, 0))
    truth = 2 * torch.stack(found) - 1
    small = F.interpolate(truth, scale_factor=1 / SCALE, mode="bicubic", antialias=True)
    return truth, F.interpolate(small, scale_factor=SCALE, mode="bicubic")


def train(photographs: list[Tensor], weight: float, bands: str, steps: int) -> Toy:
    """A model, trained with this weight of the loss."""
    torch.manual_seed(0)
    model, rng = Toy(), np.random.default_rng(1)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        truth, condition = crops(photographs, rng, BATCH)
        sigma = float(torch.randn(1).sigmoid().clamp(0.02, 1))
        noise = torch.randn(truth.shape)
        x = (1 - sigma) * truth + sigma * noise
        x0 = model(x, torch.full((BATCH,), sigma), condition)
        velocity = ((x - x0) / sigma - (noise - truth)).square().mean()
        loss = velocity + weighted_frequency(x0, truth, sigma, weight, bands=bands)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def measure(model: Toy, truth: Tensor, condition: Tensor) -> list[float]:
    """PSNR, low and high error at every level; PSNR and edges of a sample."""
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(5))
    found: list[float] = []
    for level in LEVELS:
        x0 = model((1 - level) * truth + level * noise, torch.full((len(truth),), level), condition)
        found.append(_psnr(x0, truth))
        found += [float((a - b).abs().mean()) for a, b in zip(radial(x0), radial(truth), strict=True)]
    sampled = euler(lambda x, sigma, step: model(x, sigma.expand(len(x)), condition), noise, sigma_schedule(8))
    return [*found, _psnr(sampled, truth), _edges(sampled) / _edges(truth)]


def _psnr(x: Tensor, truth: Tensor) -> float:
    return float(-10 * ((x - truth) / 2).square().mean().log10())


def _edges(x: Tensor) -> float:
    return float(x.diff(dim=-1).square().mean() + x.diff(dim=-2).square().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--held-out", default="pop-os_*", help="pattern of the photographs to measure on")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    files = sorted(options.photographs.rglob("*_full.jpg"))
    held = [path for path in files if path.match(options.held_out)]
    learned = read_photographs([path for path in files if path not in held][:40])
    truth, condition = crops(read_photographs(held[:12]), np.random.default_rng(2), TESTED)
    results = {}
    for name, (weight, bands) in RUNS.items():
        results[name] = measure(train(learned, weight, bands, options.steps), truth, condition)
        print(name, [round(value, 3) for value in results[name]], file=sys.stderr, flush=True)
    base = results["without"]
    rows = []
    for name, found in results.items():
        cells = [name]
        for index, value in enumerate(found[:-2]):
            cells.append(number(value, 2) if index % 3 == 0 else number(value / base[index], 3))
        rows.append((*cells, number(found[-2], 2), number(found[-1], 3)))
    heads = ["frequency loss", *(f"{what} {level}" for level in LEVELS for what in ("x0", "low", "high"))]
    table = Table(f"{options.steps} steps", (*heads, "sampled", "edges"), tuple(rows))
    print(as_text(table))
    if options.markdown:
        write_markdown(options.markdown, "Dynamic frequency loss", [table], NOTES, sys.argv)


if __name__ == "__main__":
    main()
