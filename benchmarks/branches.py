"""What each branch of the adapter is worth on a task that cannot be solved without it.

Canvases of 256 px show a soft gradient under textures of 2 to 4 px, one in every quadrant. The input is an eighth of
that: it has the gradient, but no texture. What texture a quadrant has is said by a coloured legend in the canvas's
corner. A patch of 64 px starts from pure noise, so that

- the gradient is only known to the patch branch,
- the legend only to the global branch,
- which of its colours counts only to the crop condition and the location mask.

Our own denoiser and adapter, small, learn it from nothing with squared error. Then one part at a time is given what
belongs to another canvas or patch; and networks are trained that never had the part. Where both tell the position,
either makes the other needless: "mask alone" and "crop alone" are trained with the other one held constant.

    python benchmarks/branches.py --seeds 3 --markdown branches.md
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from tables import Table, as_text, number, write_markdown

from patchvsr_core.adapter import Adapter, AdapterConfig, BaseSpec, MicroConditions
from patchvsr_core.hosts.diffusers.denoiser import Base, DiffusersDenoiser, new_transformer
from patchvsr_core.plan.canvas import Canvas, location_mask
from patchvsr_core.resample import resize, upsample_window

CANVAS, PATCH, SCALE, CELL = 256, 64, 8, 8
HALF = CANVAS // 2
"""Sides in px of a canvas and a patch; reduction of the input; px of a latent's cell; side of a quadrant."""
LEGEND_PX = 16
"""Side of a colour of the legend; there are two by two of them, as the quadrants lie."""
AMPLITUDE = 0.2
"""Of a texture, in the range of colours."""
COLOURS = ((0.9, 0.1, 0.1), (0.1, 0.9, 0.1), (0.1, 0.1, 0.9), (0.9, 0.9, 0.1))
BASE = BaseSpec(channels=192, width=128, layers=3, ffn=256, text_dim=64)
ADAPTER = AdapterConfig(BASE, width=64, head_dim=64, ffn=128, patch_blocks=1, global_blocks=2, prompt_tokens=2)
RATE, WARMUP, BATCH = 1e-3, 100, 24
HELD_OUT = 10**6
"""Seeds from here on are for measuring."""
MEASURED = 16
"""Batches that are measured."""
PARTS = ("patch branch", "global branch", "crop", "mask")
TRAININGS: dict[str, tuple[str, ...]] = {
    "all parts": (),
    "mask alone": ("crop",),
    "crop alone": ("mask",),
    "no position": ("crop", "mask"),
    "no global branch": ("global branch",),
    "no patch branch": ("patch branch",),
}
"""What each training lacks."""
NOTES = (
    "PSNR in dB on canvases that were not trained on. A shuffled part belongs to another canvas (branches) or to "
    "another quadrant (crop, mask); a dash: the training does not have it."
)


@dataclass(frozen=True, eq=False)
class Task:
    """N patches with what is known about them; latents are (N, 192, 1, h, w)."""

    truth: Tensor
    condition: Tensor
    """Latent of the upsampled input of the patch."""
    view: Tensor
    """Latent of the whole input at the size of a patch."""
    location: Tensor
    """(N, 1, h, w)."""
    position: Tensor
    """(N, 2) of top and left as fractions of the canvas."""


def textures() -> Tensor:
    """(4, 4, 4) patterns of one period whose mean over any 4 px is 0: the input cannot show them."""
    row = torch.tensor([1.0, 1.0, -1.0, -1.0])
    fine = torch.tensor([1.0, -1.0, 1.0, -1.0])
    diagonal = torch.stack([row.roll(k) for k in range(4)])
    return torch.stack([row.expand(4, 4), row[:, None].expand(4, 4), diagonal, fine[:, None] * fine])


def soft(corners: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(N, len(rows), len(columns), 3) of the gradient between (N, 2, 2, 3) corners, at places from 0 to 1."""
    down, across = (torch.stack([1 - at, at], 1) for at in (rows, columns))
    return torch.einsum("ya,xb,nabc->nyxc", down, across, corners)


def places(first: int, count: int, of: int) -> Tensor:
    """Where the centres of pixels lie, from 0 to 1."""
    return (torch.arange(first, first + count) + 0.5) / of


def draw_task(count: int, seed: int) -> Task:
    """One patch of each of ``count`` canvases, within a quadrant and clear of the legend."""
    generator = torch.Generator().manual_seed(seed)
    corners = 0.3 + 0.4 * torch.rand(count, 2, 2, 3, generator=generator)
    kinds = torch.randint(4, (count, 2, 2), generator=generator)
    quadrant = torch.randint(2, (count, 2), generator=generator)
    cells = torch.randint((HALF - PATCH) // CELL + 1, (count, 2), generator=generator)
    cells[(quadrant == 0).all(1)] = (HALF - PATCH) // CELL  # the legend is in the first quadrant's other corner
    origin = HALF * quadrant + CELL * cells
    side = CANVAS // SCALE
    small = soft(corners, places(0, side, side), places(0, side, side))
    legend = torch.tensor(COLOURS)[kinds].repeat_interleave(LEGEND_PX // SCALE, 1)
    small[:, : 2 * LEGEND_PX // SCALE, : 2 * LEGEND_PX // SCALE] = legend.repeat_interleave(LEGEND_PX // SCALE, 2)
    whole, grid, known = Canvas(1, (side,) * 2, (CANVAS,) * 2), (PATCH // CELL,) * 2, textures()
    truths, conditions, masks = [], [], []
    for k, (y, x) in enumerate(origin.tolist()):
        texture = known[kinds[k][tuple(quadrant[k])]].tile(PATCH // 4, PATCH // 4)[..., None]
        gradient = soft(corners[k : k + 1], places(y, PATCH, CANVAS), places(x, PATCH, CANVAS))
        truths.append(gradient + AMPLITUDE * texture)
        conditions.append(upsample_window(small[k : k + 1], whole, slice(y, y + PATCH), slice(x, x + PATCH)))
        masks.append(location_mask((y, x), (PATCH,) * 2, (CANVAS,) * 2, grid))
    return Task(
        _latent(torch.cat(truths)),
        _latent(torch.cat(conditions)),
        _latent(resize(small, (PATCH,) * 2)),
        torch.stack(masks)[:, None],
        origin / CANVAS,
    )


def _latent(pictures: Tensor) -> Tensor:
    return rearrange(pictures * 2 - 1, "n (h p) (w q) c -> n (c p q) 1 h w", p=CELL, q=CELL)


def without(task: Task, part: str) -> Task:
    """The part says nothing."""
    names = {"patch branch": "condition", "global branch": "view", "crop": "position", "mask": "location"}
    return replace(task, **{names[part]: torch.zeros_like(getattr(task, names[part]))})


def shuffled(task: Task, part: str) -> Task:
    """The part says what is true of another canvas, or of a patch in another quadrant."""
    if part == "patch branch":
        return replace(task, condition=task.condition.roll(1, 0))
    if part == "global branch":
        return replace(task, view=task.view.roll(1, 0))
    if part == "crop":
        return replace(task, position=(task.position + torch.tensor([0.5, 0.0])) % 1)
    return replace(task, location=task.location.roll(task.location.shape[-2] // 2, -2))


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


def trained(seed: int, steps: int, lacking: tuple[str, ...], *, bfloat16: bool) -> Network:
    """A network that learned the task without the parts that it lacks."""
    torch.manual_seed(seed)
    network, generator = Network(), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, betas=(0.9, 0.99), fused=True)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARMUP) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        task = draw_task(BATCH, seed * steps + step)
        for part in lacking:
            task = without(task, part)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            made = network(task, generator)
        loss = F.mse_loss(made.float(), task.truth)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 99:
            print(f"step {step + 1}: {_psnr(loss.item()):.2f} dB", file=sys.stderr, flush=True)
    return network


@torch.inference_mode()
def measured(network: Network, lacking: tuple[str, ...], changed: str | None = None) -> float:
    """PSNR on held-out canvases, one part shuffled."""
    errors = []
    for k in range(MEASURED):
        task = draw_task(BATCH, HELD_OUT + k)
        given = task if changed is None else shuffled(task, changed)
        for part in lacking:
            given = without(given, part)
        made = network(given, torch.Generator().manual_seed(k))
        errors.append(F.mse_loss(made, task.truth).item())
    return _psnr(sum(errors) / len(errors))


def _psnr(error: float) -> float:
    """Of a squared error in [-1, 1]."""
    return 10 * math.log10(4 / error)


def row(name: str, seeds: int, steps: int, *, bfloat16: bool) -> tuple[str, ...]:
    """Of a training: PSNR with everything, and with each part shuffled; mean over the seeds, and their least."""
    lacking, results = TRAININGS[name], []
    for seed in range(seeds):
        network = trained(seed, steps, lacking, bfloat16=bfloat16)
        shuffles = [math.nan if part in lacking else measured(network, lacking, part) for part in PARTS]
        results.append([measured(network, lacking), *shuffles])
        print(f"{name}, seed {seed}: {results[-1]}", file=sys.stderr, flush=True)
    return (name, *(number(sum(column) / seeds, 2) for column in zip(*results, strict=True)))


def main() -> None:
    """Train, measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trainings", default=",".join(TRAININGS), help="names, separated by commas")
    parser.add_argument("--bfloat16", action="store_true", help="train in bfloat16")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    options = parser.parse_args()
    heads = ("training", "PSNR", *(f"{part} shuffled" for part in PARTS))
    rows: list[tuple[str, ...]] = []
    for name in options.trainings.split(","):
        rows.append(row(name, options.seeds, options.steps, bfloat16=options.bfloat16))
        table = Table(f"{options.steps} steps, {options.seeds} seed(s)", heads, tuple(rows))
        if options.markdown:  # after every training: the next one takes minutes
            write_markdown(options.markdown, "What each branch is worth", [table], NOTES, sys.argv)
    print(as_text(table))


if __name__ == "__main__":
    main()
