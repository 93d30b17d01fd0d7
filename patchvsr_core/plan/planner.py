"""Makes plans: the positions of the patches and their blending weights.

Along one axis the primary patches tile the canvas; when its length is not a multiple of the patch size
they are evenly spaced and overlap. A border is in the middle of each overlap, and an auxiliary patch is
centred on it. The weights of both fall off linearly between the centres of the primary intervals and the
borders: one hat function per patch, a partition of unity along the axis. In the regular case the hat of
a border is the paper's fade, u(x) = max(0, 1 - |x - border| / (p/2)).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from math import ceil

import numpy as np
import torch
from torch import Tensor

from ..errors import PlanError
from .canvas import TOKEN_CELLS, Canvas, Patch, PatchPlan, Span, TileGrid

Array = np.ndarray

GAUSSIAN_VARIANCE = 0.01
"""Of a Gaussian window, in squares of its length: MultiDiffusion's, as DC-VSR does not state its own."""


PlanarPatch = tuple[Span, Span, str, Array, int]
"""Vertical span, horizontal span, kind, (H, W) weights, phase."""


def plan_patches(
    canvas: Canvas,
    *,
    patch_px: int = 512,
    layout: str = "corner",
    window_frames: int = 81,
    overlap_frames: int = 16,
) -> PatchPlan:
    """Plan the patches of ``canvas``.

    Args:
        canvas: sizes of the job.
        patch_px: side of a patch in pixels, ideally the size the base model was trained at; a
            multiple of one token (16 px for a stride of 8). Patches are shortened to a smaller canvas.
        layout: ``corner`` (seam-free), ``pairwise`` (the authors' layout), ``uniform`` (the
            corner layout with equal weights, an ablation), ``alternating`` (the primary grid at
            even steps, a half-shifted one at odd steps: about the cost of one grid),
            ``overlapping`` (one grid, cross-faded over a quarter of a patch: half the cost of corner) or
            ``gaussian`` (DC-VSR's: one grid whose patches overlap by half, with Gaussian weights in space and time).
        window_frames: length of a temporal window in video frames, which the base model processes at once.
        overlap_frames: minimum overlap of consecutive temporal windows in video frames.

    Raises:
        PlanError: for an invalid patch size, layout or temporal window.

    Source: PatchVSR (CVPR 2025), multi-patch joint modulation.
    """
    token_px = canvas.stride_px * TOKEN_CELLS
    if patch_px < token_px or patch_px % token_px:
        raise PlanError(
            f"Patch size {patch_px} px must be a multiple of {token_px} px; "
            f"try {_nearest_multiple(patch_px, token_px)}."
        )
    if layout not in LAYOUTS:
        raise PlanError(f"Unknown layout {layout!r}; choose one of {', '.join(LAYOUTS)}.")
    if not 0 <= overlap_frames < window_frames:
        raise PlanError(
            f"An overlap of {overlap_frames} frames does not fit temporal windows of {window_frames}; make it shorter."
        )
    size = canvas.latent_size
    height, width = (min(side, patch_px // canvas.stride_px) for side in size)
    windows = temporal_windows(canvas, window_frames, overlap_frames, layout)
    patches = _repeat_over_time(windows, LAYOUTS[layout](size, (height, width)))
    primary = _repeat_over_time(windows, _primary(size, (height, width)))
    return PatchPlan(canvas, layout, patches, primary, phases=1 + max(p.phase for p in patches))


def _repeat_over_time(windows: list[Span], planar: list[PlanarPatch]) -> tuple[Patch, ...]:
    """Repeat every planar patch in every temporal window."""
    in_space = [(r.start, c.start, kind, _to_tensor(weight), phase) for r, c, kind, weight, phase in planar]
    return tuple(
        Patch((window.start, y, x), (len(window.weight), *weight.shape), kind, _to_tensor(window.weight), weight, phase)
        for window in windows
        for y, x, kind, weight, phase in in_space
    )


def temporal_windows(canvas: Canvas, window_frames: int, overlap_frames: int, layout: str = "corner") -> list[Span]:
    """Windows over the latent frames, cross-faded linearly in their overlaps; with Gaussian weights in that layout."""
    weights = gaussian_weights if layout == "gaussian" else tile_axis
    return weights(canvas.latent_frames, *_window_length(canvas, window_frames, overlap_frames))


def count_windows(canvas: Canvas, window_frames: int, overlap_frames: int) -> int:
    """Count the windows of :func:`temporal_windows` without creating them, as clips may be long."""
    return _count_starts(canvas.latent_frames, *_window_length(canvas, window_frames, overlap_frames))


def _window_length(canvas: Canvas, window_frames: int, overlap_frames: int) -> tuple[int, int]:
    """(length, overlap) of temporal windows in latent frames."""
    stride = canvas.stride_frames
    window = min(1 + (window_frames - 1) // stride, canvas.latent_frames)
    return window, min(ceil(overlap_frames / stride), window - 1)


def plan_tiles(canvas: Canvas, tile_px: int = 512, overlap_px: int = 64, shape: str = "linear") -> TileGrid:
    """Plan a grid of equal, cross-faded tiles, in latent cells (see :func:`crossfade`).

    Raises:
        PlanError: when the overlap is not smaller than a tile.
    """
    tile, overlap = tile_px // canvas.stride_px, overlap_px // canvas.stride_px
    if tile < 1 or not 0 <= overlap < tile:
        raise PlanError(
            f"Tiles of {tile_px} px cannot overlap by {overlap_px} px; the overlap must be smaller than a tile."
        )
    rows, columns = (tile_axis(length, min(tile, length), overlap, shape) for length in canvas.latent_size)
    return TileGrid(tuple(rows), tuple(columns))


def tile_axis(length: int, window: int, overlap: int, shape: str = "linear") -> list[Span]:
    """Evenly spaced, cross-faded windows that overlap by at least ``overlap`` cells."""
    return crossfade(length, window, _spread_starts(length, window, overlap), shape)


def crossfade(length: int, window: int, starts: list[int], shape: str = "linear") -> list[Span]:
    """Windows at ``starts``, cross-faded in their overlaps; the weights sum to 1 in every cell.

    Args:
        shape: ``linear``, ``cosine``, or ``cut`` for a hard edge in the middle of the overlap.
    """
    if shape not in FADES:
        raise PlanError(f"Unknown fade {shape!r}; choose one of {', '.join(FADES)}.")
    cells = np.arange(window) + 0.5
    spans = []
    for k, start in enumerate(starts):
        weight = np.ones(window)
        if k and (shared := starts[k - 1] + window - start) > 0:
            weight = np.minimum(weight, cells / shared)
        if k + 1 < len(starts) and (shared := start + window - starts[k + 1]) > 0:
            weight = np.minimum(weight, (window - cells) / shared)
        spans.append(Span(start, FADES[shape](weight)))
    return _normalise(length, spans)


def hat_weights(length: int, window: int) -> list[Span]:
    """Primary and border windows with the hat weights of joint modulation."""
    starts = _spread_starts(length, window, 0)
    borders = [(a + window + b) // 2 for a, b in itertools.pairwise(starts)]
    edges = [0, *borders, length]
    centres = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    windows = sorted(
        [(centre, start, False) for centre, start in zip(centres, starts, strict=True)]
        + [(border, border - window // 2, True) for border in borders]
    )
    nodes = [node for node, _, _ in windows]
    hats = np.eye(len(nodes))
    spans = [
        Span(start, np.interp(start + np.arange(window) + 0.5, nodes, hats[k]), is_border)
        for k, (_, start, is_border) in enumerate(windows)
    ]
    return _normalise(length, spans)


def gaussian_weights(length: int, window: int, overlap: int) -> list[Span]:
    """Evenly spaced windows that overlap by at least ``overlap`` cells, with the weights
    exp(-(x - (L - 1) / 2)^2 / (2 * 0.01 L^2)), which are normalised to sum to 1 in every cell.
    """
    offsets = np.arange(window) - (window - 1) / 2
    bell = np.exp(-np.square(offsets) / (2 * GAUSSIAN_VARIANCE * window**2))
    return _normalise(length, [Span(start, bell) for start in _spread_starts(length, window, overlap)])


def _spread_starts(length: int, window: int, overlap: int) -> list[int]:
    """Starts of the fewest windows that cover ``length`` and overlap by at least ``overlap`` cells."""
    if window >= length:
        return [0]
    count = _count_starts(length, window, overlap)
    return [round(k * (length - window) / (count - 1)) for k in range(count)]


def _count_starts(length: int, window: int, overlap: int) -> int:
    """How many :func:`_spread_starts` returns."""
    return 1 if window >= length else ceil((length - overlap) / (window - overlap))


def _normalise(length: int, spans: list[Span]) -> list[Span]:
    total = np.zeros(length)
    for span in spans:
        total[span.cells] += span.weight
    return [replace(span, weight=span.weight / total[span.cells]) for span in spans]


def _corner(size: tuple[int, int], patch: tuple[int, int]) -> list[PlanarPatch]:
    """All combinations of primary and border spans; the blend is continuous everywhere."""
    return [
        (row, column, _kind(row, column), np.outer(row.weight, column.weight), 0)
        for row in hat_weights(size[0], patch[0])
        for column in hat_weights(size[1], patch[1])
    ]


def _uniform(size: tuple[int, int], patch: tuple[int, int]) -> list[PlanarPatch]:
    """The corner layout with weights 1/count; an ablation with visible seams."""
    rows, columns = (
        _normalise(length, [replace(s, weight=np.ones(window)) for s in hat_weights(length, window)])
        for length, window in zip(size, patch, strict=True)
    )
    return [(r, c, _kind(r, c), np.outer(r.weight, c.weight), 0) for r in rows for c in columns]


def _pairwise(size: tuple[int, int], patch: tuple[int, int]) -> list[PlanarPatch]:
    """The authors' layout: auxiliary patches over borders, none on crossings.

    With u, v the border hats of the two axes: primary (1-u)(1-v)/D, auxiliary u(1-v)/D and
    v(1-u)/D, D = 1-uv. A partition of unity, continuous except at the crossings themselves.
    """
    rows, columns = hat_weights(size[0], patch[0]), hat_weights(size[1], patch[1])
    v, u = _border_hat(size[0], rows), _border_hat(size[1], columns)
    planar: list[PlanarPatch] = []
    for row in rows:
        for column in columns:
            kind = _kind(row, column)
            if kind == "corner":
                continue
            shared = np.outer(v[row.cells], u[column.cells])
            planar.append((row, column, kind, np.outer(row.weight, column.weight) / (1 - shared), 0))
    return planar


def _border_hat(length: int, spans: list[Span]) -> Array:
    hat = np.zeros(length)
    for span in spans:
        if span.is_border:
            hat[span.cells] += span.weight
    return hat


def _primary(size: tuple[int, int], patch: tuple[int, int]) -> list[PlanarPatch]:
    """The primary grid on its own, cross-faded where its patches happen to overlap."""
    rows, columns = (tile_axis(length, window, 0) for length, window in zip(size, patch, strict=True))
    return [(r, c, "primary", np.outer(r.weight, c.weight), 0) for r in rows for c in columns]


def _overlapping(size: tuple[int, int], patch: tuple[int, int]) -> list[PlanarPatch]:
    """One grid whose patches overlap by at least a quarter of their side and are cross-faded there."""
    rows, columns = (tile_axis(length, window, window // 4) for length, window in zip(size, patch, strict=True))
    return [(r, c, "primary", np.outer(r.weight, c.weight), 0) for r in rows for c in columns]


def _gaussian(size: tuple[int, int], patch: tuple[int, int]) -> list[PlanarPatch]:
    """DC-VSR's tiles: one grid whose patches overlap by at least half of their side."""
    rows, columns = (gaussian_weights(length, window, window // 2) for length, window in zip(size, patch, strict=True))
    return [(r, c, "primary", np.outer(r.weight, c.weight), 0) for r in rows for c in columns]


def _alternating(size: tuple[int, int], patch: tuple[int, int]) -> list[PlanarPatch]:
    """Phase 0: the primary grid. Phase 1: a grid centred on its borders, with the outer patches moved inside."""
    rows, columns = (_half_shifted(length, window) for length, window in zip(size, patch, strict=True))
    shifted = [(r, c, "auxiliary", np.outer(r.weight, c.weight), 1) for r in rows for c in columns]
    return _primary(size, patch) + shifted


def _half_shifted(length: int, window: int) -> list[Span]:
    borders = {span.start for span in hat_weights(length, window) if span.is_border}
    return crossfade(length, window, sorted({0, length - window} | borders))


def _kind(row: Span, column: Span) -> str:
    return ("primary", "auxiliary", "corner")[row.is_border + column.is_border]


def _nearest_multiple(value: int, multiple: int) -> int:
    return max(multiple, round(value / multiple) * multiple)


def _to_tensor(weight: Array) -> Tensor:
    return torch.from_numpy(weight).float()


FADES: dict[str, Callable[[Array], Array]] = {
    "linear": lambda t: t,
    "cosine": lambda t: 0.5 - 0.5 * np.cos(np.pi * t),
    "cut": lambda t: (t >= 0.5).astype(float),
}

LAYOUTS: dict[str, Callable[[tuple[int, int], tuple[int, int]], list[PlanarPatch]]] = {
    "corner": _corner,
    "pairwise": _pairwise,
    "uniform": _uniform,
    "alternating": _alternating,
    "overlapping": _overlapping,
    "gaussian": _gaussian,
}
