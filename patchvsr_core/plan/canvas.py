"""Data types of a plan: the canvas, its patches, their weights and locations.

Integers and small tensors only, independent of any model. The canvas has axes T H W, in latent
frames and latent cells unless a name ends in ``_px``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import PlanError

TOKEN_CELLS = 2
"""Latent cells along one side of a token (Wan's patch size is 1 x 2 x 2)."""


@dataclass(frozen=True)
class Canvas:
    """Sizes of one upscaling job, from the input clip to the latent canvas.

    The latent canvas is the output rounded up to whole tokens, and to whole latent frames; the
    padding is at the right, the bottom and the end, and is cropped after decoding.
    """

    frames: int
    """Video frames of the clip."""
    source: tuple[int, int]
    """(height, width) of the input, pixels."""
    target: tuple[int, int]
    """(height, width) of the output, pixels."""
    stride_px: int = 8
    """Pixels along one side of a latent cell."""
    stride_frames: int = 1
    """Video frames per latent frame; above 1 the first latent frame encodes a single frame."""

    def __post_init__(self) -> None:
        if min(self.frames, *self.source, *self.target) < 1:
            raise PlanError(
                f"A canvas of {self.frames} frames, {self.source[1]}x{self.source[0]} to "
                f"{self.target[1]}x{self.target[0]}, is empty; every size must be at least 1."
            )

    @property
    def latent_frames(self) -> int:
        return 1 + -(-(self.frames - 1) // self.stride_frames)

    @property
    def padded_frames(self) -> int:
        """Video frames after padding to whole latent frames."""
        return 1 + (self.latent_frames - 1) * self.stride_frames

    @property
    def padded_px(self) -> tuple[int, int]:
        """(height, width) of the output padded to whole tokens, pixels."""
        height, width = self.latent_size
        return height * self.stride_px, width * self.stride_px

    @property
    def latent_size(self) -> tuple[int, int]:
        """(height, width) of the latent canvas, cells."""
        token_px = self.stride_px * TOKEN_CELLS
        height, width = (-(-side // token_px) * TOKEN_CELLS for side in self.target)
        return height, width

    @property
    def visible_cells(self) -> tuple[float, float]:
        """(height, width) of the frame itself, without padding, in cells."""
        return self.target[0] / self.stride_px, self.target[1] / self.stride_px

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(T, H, W) of the latent canvas."""
        return self.latent_frames, *self.latent_size

    @property
    def scale(self) -> float:
        """Upscaling factor (the geometric mean when the two axes differ)."""
        (h, w), (H, W) = self.source, self.target
        return ((H / h) * (W / w)) ** 0.5


@dataclass(frozen=True, eq=False)
class Span:
    """One window along one axis and its weight in each of its cells."""

    start: int
    weight: np.ndarray
    is_border: bool = False
    """Whether it straddles a border between primary windows."""

    @property
    def stop(self) -> int:
        return self.start + len(self.weight)

    @property
    def cells(self) -> slice:
        return slice(self.start, self.stop)

    def scaled(self, factor: int) -> Span:
        """The same window where every cell is ``factor`` of them, each with its weight."""
        return Span(factor * self.start, self.weight.repeat(factor), self.is_border)

    def weights(self, like: Tensor) -> Tensor:
        """(length,) weights with the device and dtype of ``like``."""
        return torch.from_numpy(self.weight).to(like.device, like.dtype)


def overlap(one: Span | slice, other: Span | slice) -> bool:
    """Whether two windows along one axis share a cell."""
    return bool(one.start < other.stop and other.start < one.stop)


@dataclass(frozen=True, eq=False)
class TileGrid:
    """Rows times columns of equal tiles over the canvas, in latent cells."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __iter__(self) -> Iterator[tuple[Span, Span]]:
        return iter((row, column) for row in self.rows for column in self.columns)


@dataclass(frozen=True, eq=False)
class Patch:
    """A window of the latent canvas and its blending weight in every cell that it covers."""

    origin: tuple[int, int, int]
    """(t, y, x) of its first cell."""
    size: tuple[int, int, int]
    """(T, H, W) in latent frames and cells."""
    kind: str
    """``primary``: tiles the canvas; ``auxiliary``: straddles a border; ``corner``: straddles a crossing of borders."""
    weight_t: Tensor
    """(T,) weights over time; with ``weight_yx`` they sum to 1 over all patches of a phase."""
    weight_yx: Tensor
    """(H, W) weights over space."""
    phase: int = 0
    """Index of the alternating grid that it belongs to."""

    def crop(self, canvas: Tensor) -> Tensor:
        """View of this window in ``canvas`` (..., T, H, W)."""
        (t, y, x), (frames, height, width) = self.origin, self.size
        return canvas[..., t : t + frames, y : y + height, x : x + width]

    def weight(self, like: Tensor) -> Tensor:
        """(T, H, W) weights with the device and dtype of ``like``."""
        weight_t, weight_yx = (w.to(like.device, like.dtype) for w in (self.weight_t, self.weight_yx))
        return weight_t[:, None, None] * weight_yx


@dataclass(frozen=True, eq=False)
class PatchPlan:
    """All patches of a run; they have the same size."""

    canvas: Canvas
    layout: str
    patches: tuple[Patch, ...]
    primary: tuple[Patch, ...]
    """The primary grid on its own, with weights that also sum to 1."""
    phases: int = 1
    """Number of alternating grids; each covers the canvas with weights that sum to 1."""

    @property
    def patch_size(self) -> tuple[int, int, int]:
        """(T, H, W) of every patch, latent frames and cells."""
        return self.patches[0].size

    def at_step(self, step: int, *, auxiliary: bool = True) -> tuple[Patch, ...]:
        """The patches to run at denoising step ``step`` (from 0).

        Args:
            auxiliary: False returns the primary grid only.
        """
        if not auxiliary:
            return self.primary
        if self.phases == 1:
            return self.patches
        return tuple(p for p in self.patches if p.phase == step % self.phases)

    def same_as(self, other: PatchPlan) -> bool:
        """Whether both plans split the same canvas into the same patches."""
        positions = [[(p.origin, p.size, p.phase) for p in plan.patches] for plan in (self, other)]
        return self.canvas == other.canvas and positions[0] == positions[1]

    def locations(self, patches: Sequence[Patch], grid: tuple[int, int]) -> Tensor:
        """Location masks in global coordinates: which part of the frame each patch covers.

        Returns:
            (N, 1, grid height, grid width) in [0, 1]; partly covered cells of the grid have the
            covered fraction (area resize of the patch rectangle).
        """
        masks = [location_mask(p.origin[1:], p.size[1:], self.canvas.visible_cells, grid) for p in patches]
        return torch.stack(masks)[:, None]

    def crop_positions(self, patches: Sequence[Patch]) -> Tensor:
        """(N, 2) of (top, left) as fractions of the frame, the crop micro-condition."""
        height, width = self.canvas.visible_cells
        return torch.tensor([[p.origin[1] / height, p.origin[2] / width] for p in patches])


def location_mask(
    origin: tuple[int, int], size: tuple[int, int], frame: tuple[float, float], grid: tuple[int, int]
) -> Tensor:
    """The rectangle at ``origin`` of a frame, area-resized to ``grid``; all (height, width)."""
    rows, columns = (_coverage(*axis) for axis in zip(origin, size, frame, grid, strict=True))
    return torch.outer(rows, columns)


def _coverage(start: int, length: int, axis: float, cells: int) -> Tensor:
    """Fraction of each of ``cells`` equal cells of an axis that [start, start + length) covers."""
    edges = torch.arange(cells + 1, dtype=torch.float32) * (axis / cells)
    low, high = edges[:-1].clamp(min=start), edges[1:].clamp(max=start + length)
    return ((high - low) * (cells / axis)).clamp(0, 1)
