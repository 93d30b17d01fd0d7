"""Two made tasks that cannot be solved without the parts of the adapter that they are about.

Canvases of 256 px show a soft gradient under textures of 2 to 4 px, one in every quadrant. The input is an eighth of
that: it has the gradient, but no texture. Which texture a quadrant has is told by a colour in the input. No patch, of
64 px, shows the colour of its own quadrant: only the view of the whole canvas does.

- ``legend``: the four colours stand together in the canvas's corner, arranged as the quadrants are.
- ``frames``: every quadrant has a frame of its colour. The patch is in the middle, clear of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor

from patchvsr_core.plan.canvas import location_mask
from patchvsr_core.resample import resize

CANVAS, QUADRANT, PATCH = 256, 128, 64
"""Sides in px."""
SCALE, CELL, INPUT = 8, 8, CANVAS // 8
"""Reduction of the input; px of a latent's cell; side of the input in px."""
AMPLITUDE = 0.2
"""Of a texture, in the range of colours."""
COLOURS = ((0.9, 0.1, 0.1), (0.1, 0.9, 0.1), (0.1, 0.1, 0.9), (0.9, 0.9, 0.1))
KEY_PX = 16
"""Side of a colour of the legend, and width of a frame."""
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


def draw_task(name: str, count: int, seed: int) -> Task:
    """One patch of each of ``count`` canvases of the task ``legend`` or ``frames``."""
    generator = torch.Generator().manual_seed(seed)
    corners = 0.3 + 0.4 * torch.rand(count, 2, 2, 3, generator=generator)
    kinds = torch.randint(4, (count, 2, 2), generator=generator)
    quadrant = torch.randint(2, (count, 2), generator=generator)
    origin = QUADRANT * quadrant + WITHIN[name](quadrant, generator)
    everywhere = _centres(torch.zeros(count), INPUT) / INPUT
    small = PAINTED[name](_soft(corners, everywhere, everywhere), torch.tensor(COLOURS)[kinds])
    upsampled, starts = resize(small, (CANVAS, CANVAS)), origin.tolist()
    chosen = kinds[torch.arange(count), quadrant[:, 0], quadrant[:, 1]]
    sizes = (PATCH,) * 2, (CANVAS,) * 2, (PATCH // CELL,) * 2
    return Task(
        _latent(_truth(corners, chosen, origin)),
        _latent(torch.stack([upsampled[k, y : y + PATCH, x : x + PATCH] for k, (y, x) in enumerate(starts)])),
        _latent(resize(small, (PATCH, PATCH))),
        torch.stack([location_mask((y, x), *sizes) for y, x in starts])[:, None],
        origin / CANVAS,
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


def _truth(corners: Tensor, kinds: Tensor, origin: Tensor) -> Tensor:
    """Patches (N, 64, 64, 3) at ``origin`` (N, 2) with textures ``kinds`` (N,) on the gradients of their canvases."""
    rows, columns = (_centres(first, PATCH) / CANVAS for first in origin.T)
    return _soft(corners, rows, columns) + AMPLITUDE * textures()[kinds].tile(PATCH // 4, PATCH // 4)[..., None]


def _soft(corners: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(N, h, w, 3) of the gradients between (N, 2, 2, 3) corners at (N, h) and (N, w) places from 0 to 1."""
    down, across = (torch.stack([1 - at, at], -1) for at in (rows, columns))
    return torch.einsum("nya,nxb,nabc->nyxc", down, across, corners)


def _centres(first: Tensor, count: int) -> Tensor:
    """(N, count) of where the centres of the pixels from ``first`` (N,) on lie."""
    return first[:, None] + torch.arange(count) + 0.5


def _clear_of_the_legend(quadrant: Tensor, generator: torch.Generator) -> Tensor:
    """(N, 2) of where patches begin in their quadrants: in the first one in the corner that is not the legend's."""
    cells = torch.randint((QUADRANT - PATCH) // CELL + 1, quadrant.shape, generator=generator)
    cells[(quadrant == 0).all(1)] = (QUADRANT - PATCH) // CELL
    return CELL * cells


def _in_the_middle(quadrant: Tensor, generator: torch.Generator) -> Tensor:
    """(N, 2) of where patches begin in their quadrants."""
    return torch.full_like(quadrant, (QUADRANT - PATCH) // 2)


def _with_legend(small: Tensor, colours: Tensor) -> Tensor:
    """Inputs (N, 32, 32, 3) with the colours (N, 2, 2, 3) in the first corner."""
    legend = _enlarged(colours, KEY_PX // SCALE)
    small[:, : legend.shape[1], : legend.shape[2]] = legend
    return small


def _with_frames(small: Tensor, colours: Tensor) -> Tensor:
    """Inputs (N, 32, 32, 3) with the colours (N, 2, 2, 3) around their quadrants."""
    width, side = KEY_PX // SCALE, QUADRANT // SCALE
    at = torch.arange(INPUT) % side
    edge = (at < width) | (at >= side - width)
    return torch.where((edge[:, None] | edge)[..., None], _enlarged(colours, side), small)


def _enlarged(colours: Tensor, times: int) -> Tensor:
    return colours.repeat_interleave(times, 1).repeat_interleave(times, 2)


def _latent(pictures: Tensor) -> Tensor:
    return rearrange(pictures * 2 - 1, "n (h p) (w q) c -> n (c p q) 1 h w", p=CELL, q=CELL)


WITHIN = {"legend": _clear_of_the_legend, "frames": _in_the_middle}
PAINTED = {"legend": _with_legend, "frames": _with_frames}
TASKS = tuple(PAINTED)
