"""Seam metrics: whether patch borders are visible."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import PlanError
from ..plan.canvas import PatchPlan
from .frame_pairs import pair_with_source

HEIGHT, WIDTH = 1, 2
"""Axes of (T, H, W, 3) frames."""
REFERENCE_OFFSETS = (-2, -1, 1, 2)
"""Offsets of the lines that a border is compared with, in latent cells: a codec's grid leaves a texture of its own."""
SMOOTHING_PX = 33
"""Window of the mean along a line: a seam is a step of constant sign, while detail changes sign between pixels."""
SEGMENT_PX = 32
"""Borders are evaluated in segments of this length."""
NOISE_FLOOR = (0.5 / 255) ** 2
"""Mean squared step that is added to all, about that of rounding to 8 bits; smaller ones are invisible."""


def seam_energy(frames: Tensor, source: Tensor, plan: PatchPlan) -> float:
    """Energy of steps across patch borders over that across nearby lines, relative to the upsampled source.

    1 when borders are invisible. It is the geometric mean over short segments of all borders, so that busy
    regions do not mask a seam in a flat one. NaN when one patch covers the frame.

    Raises:
        PlanError: when the plan is for frames of another size.
    """
    check_size(frames, plan)
    energies = SeamEnergies(plan)
    for frame, large in pair_with_source(frames, source):
        energies.add(frame, large)
    return energies.ratio


class SeamEnergies:
    """Accumulates :func:`seam_energy` frame by frame."""

    def __init__(self, plan: PatchPlan) -> None:
        self.borders = {axis: list(borders_with_references(plan, axis)) for axis in (HEIGHT, WIDTH)}
        self.logarithms, self.pieces = 0.0, 0

    def add(self, frame: Tensor, large: Tensor) -> None:
        """Add one frame and the upsampled source's, (1, H, W, 3) each."""
        for axis, borders in self.borders.items():
            for border, references in borders:
                result, plain = (_contrast(steps_across(v, axis, [border, *references])) for v in (frame, large))
                self.logarithms += float((result - plain).sum(dtype=torch.float64))
                self.pieces += len(result)

    @property
    def ratio(self) -> float:
        """The seam energy so far."""
        return exp(self.logarithms / self.pieces) if self.pieces else float("nan")


def seam_ratio(frames: Tensor, seamless: Tensor, plan: PatchPlan) -> float:
    """Mean gradient across patch borders over that across all other cell borders, relative to a seamless version.

    1 when borders are invisible. Unlike :func:`seam_energy` it compares with the whole frame, is linear in the
    steps, and uses a reference that may itself be sharp. Both clips are (T, H, W, 3).
    """
    at_border, elsewhere = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for axis in (HEIGHT, WIDTH):
        here = torch.zeros(int(frames.shape[axis]) - 1, dtype=torch.bool)
        here[[border - 1 for border in borders_px(plan, axis)]] = True
        cells = torch.arange(1, len(here) + 1) % plan.canvas.stride_px == 0
        steps = torch.stack([_mean_steps(version, axis) for version in (frames, seamless)])
        at_border += steps[:, here].sum(1)
        elsewhere += steps[:, cells & ~here].sum(1)
    result, plain = at_border / elsewhere
    return float(result / plain)


def check_size(frames: Tensor, plan: PatchPlan) -> None:
    """Raise unless the plan is for frames of this size.

    Raises:
        PlanError: when the sizes differ.
    """
    (height, width), planned = frames.shape[1:3], plan.canvas.target
    if (height, width) != planned:
        raise PlanError(
            f"The result is {width}x{height} but the plan was made for {planned[1]}x{planned[0]}; "
            "measure the result before it is resized, or leave the plan out."
        )


def borders_px(plan: PatchPlan, axis: int) -> list[int]:
    """Inner edges of all patches along an axis: the first pixel after each."""
    stride, length = plan.canvas.stride_px, plan.canvas.target[axis - 1]
    edges = {e * stride for p in plan.patches for e in (p.origin[axis], p.origin[axis] + p.size[axis])}
    return sorted(edge for edge in edges if 0 < edge < length)


def borders_with_references(plan: PatchPlan, axis: int) -> Iterator[tuple[int, list[int]]]:
    """(border, reference lines) as indices of differences; borders without a reference line are left out."""
    stride, length = plan.canvas.stride_px, plan.canvas.target[axis - 1]
    edges = borders_px(plan, axis)
    for edge in edges:
        references = [line for line in (edge + cells * stride for cells in REFERENCE_OFFSETS) if 0 < line < length]
        references = [line - 1 for line in references if line not in edges]
        if references:
            yield edge - 1, references


def steps_across(frame: Tensor, axis: int, lines: list[int]) -> Tensor:
    """(lines, length, 3) differences between neighbouring pixels of a (1, H, W, 3) frame across given lines."""
    picture = frame[0].movedim(axis - 1, 0)
    first = torch.tensor(lines, device=frame.device)
    return picture[first + 1] - picture[first]


def seam_map(frame: Tensor, large: Tensor, plan: PatchPlan, cell_px: int) -> Tensor:
    """Excess of steps at patch borders over those at reference lines, after subtracting the upsampled source.

    Args:
        frame, large: (1, H, W, 3) of the result and of the upsampled source.
        cell_px: side of a cell of the map.

    Returns:
        (1, 1, rows, columns) in units of [0, 1]; 0 in cells that touch no border.
    """
    difference = frame - large
    rows, columns = (-(-side // cell_px) for side in difference.shape[1:3])
    found = torch.zeros(rows, columns, device=frame.device)
    for axis, view in ((HEIGHT, found), (WIDTH, found.T)):
        for border, references in borders_with_references(plan, axis):
            steps = _coherent_steps(steps_across(difference, axis, [border, *references]))
            excess = (steps[0] - steps[1:].mean(0)).clamp(min=0)
            strip = F.avg_pool1d(excess[None], cell_px, ceil_mode=True)[0]
            for cell in {border // cell_px, (border + 1) // cell_px}:
                view[cell] = torch.maximum(view[cell], strip)
    return found[None, None]


def _mean_steps(frames: Tensor, axis: int) -> Tensor:
    """(length - 1,) float64 mean absolute difference between neighbouring lines along ``axis``."""
    others = [d for d in range(4) if d != axis]
    each = [frames[k : k + 1].diff(dim=axis).abs().mean(others, dtype=torch.float64) for k in range(len(frames))]
    return torch.stack(each).mean(0)


def _contrast(steps: Tensor) -> Tensor:
    """(segments,) log ratio of the energy of the first line to the geometric mean of the others.

    Args:
        steps: (lines, length, 3).
    """
    energies = F.avg_pool1d(steps.square().mean(2), SEGMENT_PX, ceil_mode=True) + NOISE_FLOOR
    logarithms = energies.log()
    return logarithms[0] - logarithms[1:].mean(0)


def _coherent_steps(steps: Tensor) -> Tensor:
    """(lines, length) magnitude of (lines, length, 3) steps after smoothing along the line."""
    planes = steps.movedim(-1, 1)
    window = min(SMOOTHING_PX, 2 * ((planes.shape[-1] - 1) // 2) + 1)
    mean = F.avg_pool1d(planes, window, stride=1, padding=window // 2, count_include_pad=False)
    return mean.abs().mean(1)
