"""A made task that cannot be solved without any part of the adapter.

Canvases of 256 px show a soft gradient under textures of 2 to 4 px, one in every quadrant. The input is an eighth of
that: it has the gradient, but no texture. Which texture a quadrant has is told by the colour of a frame around it. A
patch of 64 px lies in the middle of a quadrant, clear of the frame: only the view of the whole canvas shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor

from patchvsr_core.plan.canvas import Canvas, location_mask
from patchvsr_core.resample import resize, upsample_window

CANVAS, QUADRANT, PATCH = 256, 128, 64
"""Sides in px."""
SCALE, CELL, INPUT = 8, 8, CANVAS // 8
"""Reduction of the input; px of a latent's cell; side of the input in px."""
AMPLITUDE = 0.2
"""Of a texture, in the range of colours."""
COLOURS = ((0.9, 0.1, 0.1), (0.1, 0.9, 0.1), (0.1, 0.1, 0.9), (0.9, 0.9, 0.1))
FRAME = 16
"""Its width in px."""
ORIGINS = tuple((y, x) for y in (32, 160) for x in (32, 160))
"""(top, left) in px of the patch in each quadrant."""
PARTS = {"patch branch": "condition", "global branch": "view", "crop": "position", "mask": "location"}
"""What of a task each part of the adapter is given."""


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


def draw_task(count: int, seed: int) -> Task:
    """One patch of each of ``count`` canvases."""
    generator = torch.Generator().manual_seed(seed)
    corners = 0.3 + 0.4 * torch.rand(count, 2, 2, 3, generator=generator)
    kinds = torch.randint(4, (count, 4), generator=generator)
    quadrant = torch.randint(4, (count,), generator=generator)
    small = _inputs(corners, torch.tensor(COLOURS)[kinds.unflatten(1, (2, 2))])
    sizes = (PATCH,) * 2, (CANVAS,) * 2, (PATCH // CELL,) * 2
    truth, condition = torch.empty(2, count, PATCH, PATCH, 3)
    for number in quadrant.unique().tolist():
        of = quadrant == number
        y, x = ORIGINS[number]
        truth[of] = _soft(corners[of], _centres(y, PATCH) / CANVAS, _centres(x, PATCH) / CANVAS)
        canvas = Canvas(int(of.sum()), (INPUT,) * 2, (CANVAS,) * 2)
        condition[of] = upsample_window(small[of], canvas, slice(y, y + PATCH), slice(x, x + PATCH))
    texture = textures()[kinds[torch.arange(count), quadrant]].tile(PATCH // 4, PATCH // 4)
    return Task(
        _latent(truth + AMPLITUDE * texture[..., None]),
        _latent(condition),
        _latent(resize(small, (PATCH, PATCH))),
        torch.stack([location_mask(origin, *sizes) for origin in ORIGINS])[quadrant, None],
        torch.tensor(ORIGINS)[quadrant] / CANVAS,
    )


def without(task: Task, part: str) -> Task:
    """The part says nothing."""
    return replace(task, **{PARTS[part]: torch.zeros_like(getattr(task, PARTS[part]))})


def shuffled(task: Task, part: str) -> Task:
    """The part says what is true of another canvas, or of a patch half a canvas further down."""
    if part == "crop":
        return replace(task, position=(task.position + torch.tensor([0.5, 0.0])) % 1)
    if part == "mask":
        return replace(task, location=task.location.roll(task.location.shape[-2] // 2, -2))
    return replace(task, **{PARTS[part]: getattr(task, PARTS[part]).roll(1, 0)})


def _inputs(corners: Tensor, colours: Tensor) -> Tensor:
    """(N, 32, 32, 3) inputs with the gradients between (N, 2, 2, 3) corners, and frames of (N, 2, 2, 3) colours."""
    everywhere = _centres(0, INPUT) / INPUT
    width, side = FRAME // SCALE, QUADRANT // SCALE
    at = torch.arange(INPUT) % side
    edge = (at < width) | (at >= side - width)
    framed = (edge[:, None] | edge)[..., None]
    wide = colours.repeat_interleave(side, 1).repeat_interleave(side, 2)
    return torch.where(framed, wide, _soft(corners, everywhere, everywhere))


def _soft(corners: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(N, len(rows), len(columns), 3) of the gradients between (N, 2, 2, 3) corners, at places from 0 to 1."""
    down, across = (torch.stack([1 - at, at], 1) for at in (rows, columns))
    return torch.einsum("ya,xb,nabc->nyxc", down, across, corners)


def _centres(first: int, count: int) -> Tensor:
    """(count,) of where the centres of the pixels from ``first`` on lie."""
    return torch.arange(first, first + count) + 0.5


def _latent(pictures: Tensor) -> Tensor:
    return rearrange(pictures * 2 - 1, "n (h p) (w q) c -> n (c p q) 1 h w", p=CELL, q=CELL)
