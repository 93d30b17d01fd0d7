"""Comparison images: a split view, side by side, and a grid of crops at 1:1."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import PlanError
from ..resample import resize

LINE_PX = 2
"""Width of the line between parts of a split view."""
GAP_PX = 4
CAPTION_PX = 22
FONT_SCALE = 0.5
PAD_PX = 6
DIRECTIONS = ("left and right", "above and below")


@dataclass(frozen=True, eq=False)
class Version:
    """A clip to compare and its caption; an empty name is not drawn."""

    name: str
    frames: Tensor
    """(T, H, W, 3) in [0, 1]."""


def same_size(versions: Sequence[Version]) -> list[Version]:
    """Upsample all versions bicubically to the size of the largest.

    Raises:
        PlanError: when their lengths differ.
    """
    if len({len(version.frames) for version in versions}) != 1:
        counts = ", ".join(str(len(version.frames)) for version in versions)
        raise PlanError(f"The clips have {counts} frames; compare clips of the same length.")
    sizes = [(int(v.frames.shape[1]), int(v.frames.shape[2])) for v in versions]
    largest = max(sizes, key=lambda size: size[0] * size[1])
    return [Version(v.name, resize(v.frames[..., :3].float(), largest).clamp(0, 1)) for v in versions]


def split_view(versions: Sequence[Version], *, position: float = 0.5, direction: str = DIRECTIONS[0]) -> Tensor:
    """Compose one image that shows a different part of every version.

    Args:
        versions: of the same size and length.
        position: where the first version ends, 0 to 1; the others share the rest equally.
        direction: one of :data:`DIRECTIONS`.

    Returns:
        (T, H, W, 3) in [0, 1].
    """
    axis = 2 if direction == DIRECTIONS[0] else 1
    length = versions[0].frames.shape[axis]
    rest = (1 - position) / max(len(versions) - 1, 1)
    edges = [0, *(round(length * (position + rest * k)) for k in range(len(versions) - 1)), length]
    out = versions[0].frames.clone()
    for version, (start, stop) in zip(versions, itertools.pairwise(edges), strict=True):
        if stop <= start:
            continue
        part = out.narrow(axis, start, stop - start)
        part.copy_(version.frames.narrow(axis, start, stop - start))
        _draw_name(part, version.name)
        if start:
            out.narrow(axis, start, min(LINE_PX, stop - start)).fill_(1)
    return out


def side_by_side(versions: Sequence[Version]) -> Tensor:
    """Place the versions next to one another, with captions if any has a name: (T, height, width, 3) in [0, 1].

    Args:
        versions: of the same size and length.
    """
    named = any(version.name for version in versions)
    columns = [_add_caption(version) if named else version.frames for version in versions]
    gap = columns[0].new_zeros(*columns[0].shape[:2], GAP_PX, 3)
    return torch.cat([part for column in columns for part in (gap, column)][1:], dim=2)


def crop_grid(versions: Sequence[Version], *, crop_px: int = 192, crops: int = 3) -> Tensor:
    """Compose a grid of 1:1 crops where the versions differ most: a row per crop, a column per version.

    The positions are the same in all frames and do not overlap.

    Args:
        versions: of the same size and length.
        crop_px: side of a crop, at most the side of the frame.
        crops: number of crops, at most as many as fit.

    Returns:
        (T, height, width, 3) in [0, 1].
    """
    rows: list[Tensor] = []
    for y, x, height, width in most_different_crops(versions, crop_px, crops):
        cut = [Version("" if rows else v.name, v.frames[:, y : y + height, x : x + width]) for v in versions]
        rows.append(side_by_side(cut))
    gap = rows[0].new_zeros(len(rows[0]), GAP_PX, rows[0].shape[2], 3)
    return torch.cat([part for row in rows for part in (gap, row)][1:], dim=1)


def most_different_crops(versions: Sequence[Version], crop_px: int, crops: int) -> list[tuple[int, int, int, int]]:
    """(y, x, height, width) of the crops in which the versions differ most, or of most detail in a single version."""
    first, *others = (version.frames for version in versions)
    if others:
        difference = torch.stack([(first - other).abs().mean((0, 3)) for other in others]).amax(0)
    else:
        difference = F.pad(first.mean((0, 3)).diff(dim=1).abs(), (0, 1))
    height, width = (min(crop_px, side) for side in difference.shape)
    score = F.avg_pool2d(difference[None, None], (height, width), stride=1)[0, 0].clone()
    found: list[tuple[int, int, int, int]] = []
    while len(found) < crops and float(score.max()) >= 0:
        y, x = divmod(int(score.argmax()), score.shape[1])
        found.append((y, x, height, width))
        score[max(0, y - height + 1) : y + height, max(0, x - width + 1) : x + width] = -1
    return sorted(found)


def _add_caption(version: Version) -> Tensor:
    strip = version.frames.new_zeros(len(version.frames), CAPTION_PX, version.frames.shape[2], 3)
    _draw_name(strip, version.name)
    return torch.cat([strip, version.frames], dim=1)


def _draw_name(frames: Tensor, name: str) -> None:
    """Draw a name into the upper left corner, white on black; skipped where it does not fit."""
    if not name:
        return
    (width, height), below = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, FONT_SCALE, 1)
    box = CAPTION_PX, width + 2 * PAD_PX
    if box[0] > frames.shape[1] or box[1] > frames.shape[2]:
        return
    picture = np.zeros((*box, 3), np.uint8)
    baseline = (CAPTION_PX + height - below // 2) // 2
    cv2.putText(
        picture, name, (PAD_PX, baseline), cv2.FONT_HERSHEY_SIMPLEX, FONT_SCALE, (255, 255, 255), 1, cv2.LINE_AA
    )
    frames[:, : box[0], : box[1]] = torch.from_numpy(picture).to(frames) / 255
