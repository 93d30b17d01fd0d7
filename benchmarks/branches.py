"""What each part of the adapter is worth on a task that cannot be solved without it: see ``branch_task``.

A patch starts from pure noise, so that its gradient is best known to the patch branch, and its texture to the global
branch alone, which needs the position of the patch to find the frame that counts. The crop condition and the location
mask both give the position, so either makes the other needless: each is tried with the other one held constant.

Our own denoiser and adapter, small, learn the task from nothing with squared error. Then one part at a time is given
what belongs to another canvas or patch; and networks are trained that never had the part.

    python benchmarks/branches.py --seeds 3 --markdown branches.md --json branches.json

Trainings that are in the JSON file already are not repeated.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from branch_task import PARTS, SCALE, Task, draw_task, shuffled, without
from tables import Table, as_text, conditions, mean, number, write_markdown

from patchvsr_core.adapter import Adapter, AdapterConfig, BaseSpec, MicroConditions
from patchvsr_core.hosts.diffusers.denoiser import Base, DiffusersDenoiser, new_transformer

BASE = BaseSpec(channels=192, width=128, layers=3, ffn=256, text_dim=64)
ADAPTER = AdapterConfig(BASE, width=64, head_dim=64, ffn=128, patch_blocks=1, global_blocks=2, prompt_tokens=2)
RATE, WARMUP, BATCH = 2e-3, 100, 24
HELD_OUT = 10**6
"""Seeds from here on are for measuring."""
MEASURED = 16
"""Batches that are measured."""
TRAININGS: dict[str, tuple[str, ...]] = {
    "mask alone": ("crop",),
    "crop alone": ("mask",),
    "no position": ("crop", "mask"),
    "no patch branch": ("crop", "patch branch"),
    "no global branch": ("crop", "global branch"),
    "all parts": (),
}
"""What each training lacks; crop or mask alone: with both branches."""
WORTH = {
    "patch branch": ("mask alone", "no patch branch"),
    "global branch": ("mask alone", "no global branch"),
    "crop": ("crop alone", "no position"),
    "mask": ("mask alone", "no position"),
}
"""Of each part: the training in which it is shuffled, and the training that never had it."""
NOTES = (
    "PSNR in dB on canvases that were not trained on. A shuffled part belongs to another canvas (branches) or to "
    "another quadrant of the same canvas (crop, mask); a dash: the training does not have it, or was not run."
)


@dataclass(frozen=True)
class Result:
    """PSNR in dB of one training, with everything that it has and with each of its parts shuffled."""

    training: str
    seed: int
    steps: int
    psnr: float
    shuffled: dict[str, float]


class Network(nn.Module):
    """A small denoiser with its adapter."""

    def __init__(self) -> None:
        super().__init__()
        self.base, self.adapter = new_transformer(BASE), Adapter(ADAPTER)
        self.denoiser = DiffusersDenoiser(Base(self.base, "residual"), [self.adapter.prompt], self.adapter)

    def forward(self, task: Task, generator: torch.Generator) -> Tensor:
        """x0 of every patch, one step from noise; shaped as ``task.truth``."""
        noise = torch.randn(task.truth.shape, generator=generator)
        top, left = task.position.unbind(1)
        micro = MicroConditions(torch.full_like(top, SCALE), top, left, torch.zeros_like(top))
        grey = torch.zeros_like(task.truth)
        control = self.adapter.control(task.condition, micro, anchor=grey, view=task.view, location=task.location)
        return self.denoiser(noise, torch.ones(()), control)[0]


def trained(seed: int, steps: int, lacking: Sequence[str]) -> Network:
    """A network that learned the task without the parts that it lacks."""
    torch.manual_seed(seed)
    network, generator = Network(), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, betas=(0.9, 0.99), fused=True)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARMUP) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        task = _limited(draw_task(BATCH, seed * steps + step), lacking)
        loss = F.mse_loss(network(task, generator), task.truth)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 99:
            print(f"step {step + 1}: {_psnr(loss.item()):.2f} dB", file=sys.stderr, flush=True)
    return network


@torch.inference_mode()
def measured(network: Network, lacking: Sequence[str], changed: str | None = None) -> float:
    """PSNR on held-out canvases, one part shuffled."""
    errors = []
    for k in range(MEASURED):
        task = draw_task(BATCH, HELD_OUT + k)
        given = _limited(task if changed is None else shuffled(task, changed), lacking)
        errors.append(F.mse_loss(network(given, torch.Generator().manual_seed(k)), task.truth).item())
    return _psnr(sum(errors) / len(errors))


def _limited(task: Task, lacking: Sequence[str]) -> Task:
    for part in lacking:
        task = without(task, part)
    return task


def _psnr(error: float) -> float:
    """Of a squared error in [-1, 1]."""
    return 10 * math.log10(4 / error)


def result(training: str, seed: int, steps: int) -> Result:
    """Train and measure."""
    lacking = TRAININGS[training]
    network = trained(seed, steps, lacking)
    parts = {part: round(measured(network, lacking, part), 3) for part in PARTS if part not in lacking}
    return Result(training, seed, steps, round(measured(network, lacking), 3), parts)


def tables(results: Sequence[Result]) -> list[Table]:
    """What each part is worth, mean over the seeds; then every training by itself."""
    heads = ("training", "steps", "PSNR", *(f"{part} shuffled" for part in PARTS))
    rows = [_row(one) for name in TRAININGS for one in results if one.training == name]
    return [
        Table("Worth of each part", WORTH_HEADS, tuple(_worth_row(part, results) for part in WORTH)),
        Table("All trainings", heads, tuple(rows)),
    ]


WORTH_HEADS = (
    "part",
    "training",
    "seeds",
    "with it",
    "shuffled",
    "loss, shuffled",
    "never had it",
    "loss, never had it",
)


def _worth_row(part: str, results: Sequence[Result]) -> tuple[str, ...]:
    training, bare = WORTH[part]
    whole = {one.seed: one for one in results if one.training == training}
    lacking = {one.seed: one.psnr for one in results if one.training == bare}
    seeds = sorted(whole.keys() & lacking.keys())
    given = mean([whole[seed].psnr for seed in seeds])
    shuffle = mean([whole[seed].shuffled[part] for seed in seeds])
    never = mean([lacking[seed] for seed in seeds])
    cells = (number(value, 2) for value in (given, shuffle, given - shuffle, never, given - never))
    return part, training, str(len(seeds)), *cells


def _row(one: Result) -> tuple[str, ...]:
    values = [one.psnr, *(one.shuffled.get(part, math.nan) for part in PARTS)]
    return f"{one.training}, seed {one.seed}", str(one.steps), *(number(value, 2) for value in values)


def read_results(path: Path | None) -> list[Result]:
    """What the JSON file has; nothing if there is none."""
    if path is None or not path.exists():
        return []
    return [Result(**one) for one in json.loads(path.read_text(encoding="utf-8"))["results"]]


def write(options: argparse.Namespace, results: Sequence[Result]) -> None:
    """The files that were asked for."""
    if options.markdown:
        write_markdown(options.markdown, "What each branch is worth", tables(results), NOTES, sys.argv)
    if options.json:
        content = {**conditions(sys.argv), "rate": RATE, "batch": BATCH, "results": [asdict(one) for one in results]}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Train, measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trainings", default=",".join(TRAININGS), help="names, separated by commas")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="results to add to")
    options = parser.parse_args()
    results = read_results(options.json)
    known = {(one.training, one.seed, one.steps) for one in results}
    trainings = options.trainings.split(",")
    wanted = [(training, seed, options.steps) for seed in range(options.seeds) for training in trainings]
    for one in wanted:
        if one not in known:
            results.append(result(*one))
            print(results[-1], file=sys.stderr, flush=True)
            write(options, results)  # after every training: the next one takes minutes
    write(options, results)
    print(*map(as_text, tables(results)), NOTES, sep="\n")


if __name__ == "__main__":
    main()
