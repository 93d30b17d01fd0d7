"""Neighbouring input frames, warped to the current frame and upsampled in one step."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..plan.canvas import Canvas
from ..resample import reflect_index
from .flow import estimate_clip_flows


def estimate_neighbour_flows(source: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate the flow from every frame to the previous and to the next one.

    Args:
        source: (T, h, w, 3) in [0, 1].

    Returns:
        two (T, 2, h, w), to the previous and to the next frame, in input pixels; 0 where there is no such frame.
    """
    still = source.new_zeros(1, 2, *source.shape[1:3], dtype=torch.float32)
    if len(source) == 1:
        return still, still
    flows = estimate_clip_flows(source.movedim(-1, 1))
    return torch.cat([still, flows.to_previous]), torch.cat([flows.to_next, still])


def align_window(source: Tensor, flows: tuple[Tensor, Tensor], canvas: Canvas, rows: slice, columns: slice) -> Tensor:
    """Warp a window of the previous and of the next frame to the current one.

    Every high-resolution pixel is sampled directly from the low-resolution neighbour (bicubically, at
    the sub-pixel position that the flow points to), so that its sub-pixel information is kept.

    Args:
        source: (T, h, w, 3) input clip of the canvas.
        flows: result of :func:`estimate_neighbour_flows` for it.
        rows, columns: window of the padded canvas, pixels.

    Returns:
        (T, rows, columns, 6): the previous frame, then the next one; the ends are their own neighbours.
    """
    height, width = source.shape[1:3]
    down = _source_positions(rows, canvas.target[0], height, source)
    across = _source_positions(columns, canvas.target[1], width, source)
    y, x = torch.meshgrid(down, across, indexing="ij")
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1).expand(len(source), -1, -1, -1)
    unit = torch.tensor([2 / width, 2 / height], device=source.device)
    frames = source.movedim(-1, 1).float()
    before, after = torch.cat([frames[:1], frames[:-1]]), torch.cat([frames[1:], frames[-1:]])
    found = []
    for neighbour, flow in zip((before, after), flows, strict=True):
        motion = F.grid_sample(flow, grid, mode="bilinear", padding_mode="border", align_corners=False)
        moved = grid + motion.movedim(1, -1) * unit
        found.append(F.grid_sample(neighbour, moved, mode="bicubic", padding_mode="border", align_corners=False))
    return torch.cat(found, 1).movedim(1, -1)


def _source_positions(span: slice, target: int, length: int, like: Tensor) -> Tensor:
    """Centres of the window's pixels, in input coordinates."""
    index = torch.from_numpy(reflect_index(np.arange(span.start, span.stop), target)).to(like.device, torch.float32)
    return (index + 0.5) * (length / target) - 0.5
