"""How frames are cut into patches and tiles, and put together again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from patchvsr_core import Canvas, Patch, encode_canvas, fuse, plan_patches
from patchvsr_core.plan.canvas import Span, TileGrid, location_mask
from patchvsr_core.plan.planner import plan_tiles
from patchvsr_core.plan.positions import list_positions
from patchvsr_core.plan.split_patches import join_patches, split_patches
from patchvsr_core.preview.draw import draw_plan
from patchvsr_core.resample import resize
from patchvsr_core.vae.encode import augment_noise

from .clips import COUNT, PATCH, SHOWN, SOURCE, STRIDE_PX, TARGET, cut, enlarged, models, plan, restored, sample
from .drawing import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    WHITE,
    WIDTH_PX,
    Color,
    arrow,
    bytes_of,
    dimmed,
    half,
    label,
    note,
    outline,
    paper,
    place,
    polyline,
    scaled,
    sheet,
    table,
    write,
)

SPLIT_PX, SPLIT_GAP_PX = 88, 10
EXPOSURES = (1.25, 0.75)
"""What is done to patches in turn before they are joined."""
TINTS = (0.35, 0.05, -0.3), (-0.3, 0.05, 0.35)
"""Red, green and blue, of a range of 2, that a model of ours adds to patches in turn."""
CURVE_PX = 70
CURVE_COLORS: tuple[Color, Color] = (0, 140, 200), (225, 120, 0)
"""Blue and orange that can be seen on white."""


def layouts() -> np.ndarray:
    """Two plans over the sample, at x2 so that their numbers can be read."""
    canvas = Canvas(COUNT, SOURCE, (TARGET[0] // 2, TARGET[1] // 2), STRIDE_PX, 1)
    names = ("overlapping", "corner")
    plans = {name: plan_patches(canvas, patch_px=128, layout=name, window_frames=8, overlap_frames=2) for name in names}
    return sheet({name: draw_plan(plan, sample()[SHOWN])[0].numpy() for name, plan in plans.items()}, columns=1)


def split() -> np.ndarray:
    """A frame, and its patches with their edges."""
    frames = restored(0.0)[SHOWN : SHOWN + 1]
    cells = []
    for where, patch in zip(list_positions(plan()), split_patches(frames, plan()), strict=True):
        cell = scaled(patch[0], SPLIT_PX, SPLIT_PX)
        note(cell, str(where.number), (6, 17))
        cells.append(np.concatenate([cell, label(f"x {where.x}, y {where.y}", SPLIT_PX)]))
    parts = table(cells, columns=5, gap_px=SPLIT_GAP_PX)
    return np.concatenate(
        [numbered_frame(), label("image, with the places of the plan"), parts, label("patches, with x and y")]
    )


def numbered_frame() -> np.ndarray:
    """A frame at half its size with the places of its patches."""
    drawn = dimmed(half(restored(0.0)[SHOWN]))
    for where in list_positions(plan()):
        outline(drawn, (where.y // 2, where.x // 2, where.height // 2, where.width // 2), WHITE)
    for where in list_positions(plan()):
        note(drawn, str(where.number), (where.x // 2 + 9, where.y // 2 + 20))
    return drawn


def join() -> np.ndarray:
    """Patches to which different things were done, and the frame of them all."""
    frames = restored(0.0)[SHOWN : SHOWN + 1]
    columns = 5
    exposures = [EXPOSURES[sum(divmod(number, columns)) % 2] for number in range(len(list_positions(plan())))]
    patches = [patch * by for patch, by in zip(split_patches(frames, plan()), exposures, strict=True)]
    parts = table([scaled(patch[0], SPLIT_PX, SPLIT_PX) for patch in patches], columns, SPLIT_GAP_PX)
    joined = join_patches(patches, plan(), "cosine").clamp(0, 1)[0]
    texts = "patches, made lighter and darker in turn", "IMAGE, window cosine"
    return np.concatenate([parts, label(texts[0]), half(joined), label(texts[1])])


def encoder() -> np.ndarray:
    """The input, the canvas, and what a patch is told without noise and with it."""
    canvas = plan().canvas
    latent = encode_canvas(models().codec, sample(), canvas)
    clean, noisy = (models().codec.decode(augment_noise(latent, level, seed=0))[SHOWN] for level in (0.0, 0.3))
    height, width = (side * 3 // 8 for side in TARGET)
    top = paper(height)
    small = bytes_of(cv2.resize(sample()[SHOWN].numpy(), (width // 4, height // 4), interpolation=cv2.INTER_AREA))
    place(top, small, (0, (height - small.shape[0]) // 2))
    large = scaled(clean.clamp(0, 1), width, height)
    outline(large, tuple(side * 3 // 8 for side in PATCH), WHITE)
    place(top, large, (WIDTH_PX - width, 0))
    arrow(top, (width // 4 + 4, height // 2), (WIDTH_PX - width - 4, height // 2), BLACK, head_px=7)
    names = paper(label("").shape[0])
    write(names, "image", (5, 15), BLACK)
    write(names, "LATENT: enlarged, and one patch", (WIDTH_PX - width, 15), BLACK)
    side = WIDTH_PX // 2 - 4
    patches = {"noise_level 0": clean, "noise_level 0.3": noisy}
    told = {text: scaled(cut(frame, PATCH).clamp(0, 1), side, side) for text, frame in patches.items()}
    return np.concatenate([top, names, sheet(told, columns=2, gap_px=8)])


def context() -> np.ndarray:
    """One patch in the frame, the frame at the size of a patch, and where the patch lies in it."""
    frame = half(enlarged(sample())[SHOWN])
    outline(frame, tuple(side // 2 for side in PATCH), WHITE)
    cells = [side // STRIDE_PX for side in PATCH]
    side = WIDTH_PX // 2 - 4
    whole = scaled(resize(sample(), (PATCH[2], PATCH[3]))[SHOWN].clamp(0, 1), side, side)
    mask = location_mask(tuple(cells[:2]), tuple(cells[2:]), plan().canvas.visible_cells, tuple(cells[2:]))
    white = cv2.resize(mask.numpy(), (side, side), interpolation=cv2.INTER_NEAREST)[..., None].repeat(3, axis=2)
    below = {"the whole frame, as small as a patch": whole, "where in it the patch lies": bytes_of(white)}
    return np.concatenate([frame, label("a frame, and one of its patches"), sheet(below, columns=2, gap_px=8)])


def tiles() -> np.ndarray:
    """The patches that are denoised, and the tiles that are decoded."""
    frame = dimmed(half(restored(0.0)[SHOWN]))
    decoded = frame.copy()
    grid = plan_tiles(plan().canvas)
    for shared in overlaps(grid):
        decoded[:, shared] = (0.5 * decoded[:, shared] + 0.5 * np.array(BLUE)).astype(np.uint8)
    for row, column in grid:
        y, x, bottom, right = (cells * STRIDE_PX // 2 for cells in (row.start, column.start, row.stop, column.stop))
        outline(decoded, (y, x, min(bottom, frame.shape[0]) - y, right - x), WHITE)
    for number, span in enumerate(grid.columns, 1):
        note(decoded, str(number), (span.start * STRIDE_PX // 2 + 9, 20))
    return sheet(
        {
            f"denoised: {len(list_positions(plan()))} patches of 256 px": numbered_frame(),
            f"decoded: {len(grid)} tiles of 512 px; blue: what both decode": decoded,
        },
        columns=1,
    )


def overlaps(grid: TileGrid) -> list[slice]:
    """Columns, at half size, that neighbouring tiles share."""
    columns = sorted((span.start, span.stop) for span in grid.columns)
    pairs = itertools.pairwise(columns)
    return [slice(after[0] * STRIDE_PX // 2, before[1] * STRIDE_PX // 2) for before, after in pairs]


def blender() -> np.ndarray:
    """Tiles in two colours that fade into one another, and the weights along a row."""
    frame = half(restored(0.0)[SHOWN])
    grid = plan_tiles(plan().canvas, tile_px=256)
    rows, columns = weights_px(grid.rows, frame.shape[0]), weights_px(grid.columns, frame.shape[1])
    tint = np.zeros((*frame.shape[:2], 3))
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            tint += np.outer(row, column)[..., None] * np.array((BLUE, ORANGE)[(x + y) % 2])
    light = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None] / 255
    tinted = (tint * (0.25 + 0.75 * light)).astype(np.uint8)
    curves = []
    for shape in ("linear", "cosine"):
        spans = plan_tiles(plan().canvas, tile_px=256, shape=shape).columns
        curves.append(weight_curves(weights_px(spans, frame.shape[1])))
        curves.append(label(f"weight of each tile along a row, window {shape}"))
    return np.concatenate([tinted, label("tiles, each in a colour of its own: in overlaps both count"), *curves])


def weights_px(spans: Sequence[Span], length: int) -> list[np.ndarray]:
    """(length,) weights along an axis at half size, of every tile."""
    cells = np.zeros((len(spans), spans[-1].stop))
    for weight, span in zip(cells, spans, strict=True):
        weight[span.cells] = span.weight
    position = (np.arange(length) + 0.5) * 2 / STRIDE_PX - 0.5
    return [np.interp(position, np.arange(cells.shape[1]), weight) for weight in cells]


def weight_curves(weights: Sequence[np.ndarray]) -> np.ndarray:
    """Lines from 0 (below) to 1 (above)."""
    drawn, inset = paper(CURVE_PX), 6
    for number, weight in enumerate(weights):
        line = np.stack([np.arange(len(weight)), CURVE_PX - inset - weight * (CURVE_PX - 2 * inset)], axis=1)
        polyline(drawn, line[weight > 0], CURVE_COLORS[number % 2])
    cv2.line(drawn, (0, CURVE_PX - 2), (WIDTH_PX, CURVE_PX - 2), GREY, 1)
    return drawn


def merger() -> np.ndarray:
    """What comes of patches that are painted in different tints: the primary ones alone, and all of them fused."""
    corner = plan("corner")
    latent = encode_canvas(models().codec, sample(), corner.canvas)
    rows, columns = (sorted({patch.origin[axis] for patch in corner.patches}) for axis in (1, 2))

    def denoiser(x: Tensor, sigma: Tensor, batch: Sequence[Patch]) -> list[Tensor]:
        (patch,) = batch
        tint = TINTS[(rows.index(patch.origin[1]) + columns.index(patch.origin[2])) // 2 % 2]
        per_channel = torch.tensor(tint).repeat_interleave(STRIDE_PX**2)
        return [x + per_channel[:, None, None, None]]

    pictures = {}
    grids = {"primary patches alone": corner.at_step(0, auxiliary=False), "all patches, fused": corner.patches}
    for text, patches in grids.items():
        (x0,) = fuse(denoiser, latent, torch.tensor(1.0), patches, lambda batch: batch)
        frame = models().codec.decode(x0)[SHOWN, : TARGET[0], : TARGET[1]]
        pictures[text] = half(frame.clamp(0, 1))
    return sheet(pictures, columns=1)
