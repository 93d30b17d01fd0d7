"""Draws plans over frames, and optical flow as colours."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..plan.canvas import PatchPlan
from ..plan.positions import COLORS, KINDS, Position, list_positions

LONGEST_SIDE = 1024
INSETS = {"primary": 1, "auxiliary": 4, "corner": 7}
"""Pixels that outlines are inset by, so that neighbouring ones do not cover each other."""
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.5
MIN_LEGEND_PX = 240
"""Width below which an image gets no legend."""
LINE_PX, MARGIN_PX, GAP_PX = 22, 8, 18
GREY = (0.75, 0.75, 0.75)
BACKGROUND = (18, 18, 18)
FRAME_GAIN = 0.6
"""Factor that dims the frame behind the outlines."""
WHEEL = {
    0: (1.0, 0.0, 0.0),
    15: (1.0, 1.0, 0.0),
    21: (0.0, 1.0, 0.0),
    25: (0.0, 1.0, 1.0),
    36: (0.0, 0.0, 1.0),
    49: (1.0, 0.0, 1.0),
    55: (1.0, 0.0, 0.0),
}
"""Colour wheel of the Middlebury flow benchmark (Baker et al. 2011): position to RGB."""
FULL_QUANTILE = 0.99
"""Quantile of motion that gets full saturation, so that outliers do not make the rest too pale."""
MIN_FULL_PX = 1.0
"""Lower limit of the motion that gets full saturation, so that noise in a static clip stays pale."""


def draw_plan(plan: PatchPlan, frame: Tensor) -> Tensor:
    """Draw the patches of a plan over a frame, with a legend of their cost below: (1, H, W, 3) in [0, 1].

    Primary patches are white with their numbers, auxiliary ones blue, corner ones orange. The legend has
    the output size, the patches by kind, the temporal windows and the patch evaluations per step.

    Args:
        frame: (h, w, 3 or more) frame of the input.
    """
    height, width = plan.canvas.target
    shrink = min(1.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    pixels = np.ascontiguousarray(frame[..., :3].float().cpu().numpy())
    picture = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrink < 1 else cv2.INTER_CUBIC)
    picture = (np.clip(picture, 0, 1) * FRAME_GAIN * 255).astype(np.uint8)
    found = list_positions(plan)
    for position in found:
        _outline(picture, position, shrink)
    for position in found:  # numbers on top
        if position.kind == "primary":
            _number(picture, position, shrink)
    if size[0] >= MIN_LEGEND_PX:
        picture = np.concatenate([picture, _legend(size[0], _costs(plan))])
    return torch.from_numpy(picture.astype(np.float32) / 255)[None]


def _outline(picture: np.ndarray, position: Position, shrink: float) -> None:
    inset, (bottom, right) = INSETS[position.kind], picture.shape[:2]
    first = round(position.x * shrink) + inset, round(position.y * shrink) + inset
    last = (
        min(round((position.x + position.width) * shrink), right) - inset,
        min(round((position.y + position.height) * shrink), bottom) - inset,
    )
    cv2.rectangle(picture, first, last, _levels(COLORS[position.kind]), 2, cv2.LINE_AA)


def _number(picture: np.ndarray, position: Position, shrink: float) -> None:
    """Draw the number in the upper left corner on a dark background, unless it fills more than a third of the patch."""
    text = str(position.number)
    (wide, high), _ = cv2.getTextSize(text, FONT, FONT_SCALE, 1)
    inset = max(INSETS.values()) + 4
    if min((position.width * shrink - inset) / wide, (position.height * shrink - inset) / high) < 3:
        return
    origin = round(position.x * shrink) + inset, round(position.y * shrink) + inset + high
    first, last = (origin[0] - 3, origin[1] - high - 3), (origin[0] + wide + 2, origin[1] + 3)
    cv2.rectangle(picture, first, last, BACKGROUND, cv2.FILLED)
    cv2.putText(picture, text, origin, FONT, FONT_SCALE, _levels(COLORS[position.kind]), 1, cv2.LINE_AA)


def _levels(color: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in color)
    return red, green, blue


def _costs(plan: PatchPlan) -> list[tuple[str, tuple[float, float, float]]]:
    """Entries of the legend and their colours."""
    windows = len({patch.origin[0] for patch in plan.patches})
    counts = {kind: sum(patch.kind == kind for patch in plan.patches) // windows for kind in KINDS}
    per_step = " or ".join(str(len(plan.at_step(phase))) for phase in range(plan.phases))
    return [
        (f"{plan.canvas.target[1]}x{plan.canvas.target[0]}", GREY),
        *[(f"{count} {kind}", COLORS[kind]) for kind, count in counts.items() if count],
        (f"x {windows} temporal {'window' if windows == 1 else 'windows'}", GREY),
        (f"= {per_step} patch evaluations per step", GREY),
    ]


def _legend(width: int, words: list[tuple[str, tuple[float, float, float]]]) -> np.ndarray:
    """(h, width, 3) strip with the entries in as many rows as they need."""
    rows, x = 0, MARGIN_PX
    placed = []
    for text, color in words:
        wide = cv2.getTextSize(text, FONT, FONT_SCALE, 1)[0][0]
        if x > MARGIN_PX and x + wide > width - MARGIN_PX:
            rows, x = rows + 1, MARGIN_PX
        placed.append((text, (x, (rows + 1) * LINE_PX - 4), color))
        x += wide + GAP_PX
    strip = np.full(((rows + 1) * LINE_PX + MARGIN_PX // 2, width, 3), BACKGROUND[0], np.uint8)
    for text, origin, color in placed:
        cv2.putText(strip, text, origin, FONT, FONT_SCALE, _levels(color), 1, cv2.LINE_AA)
    return strip


def draw_flow(flow: Tensor) -> Tensor:
    """Colour-code optical flow: (B, H, W, 3) in [0, 1].

    Hue is direction (right red, down yellow, left cyan, up violet), saturation is magnitude on one scale
    for all frames. No motion is white; motion longer than the frame's diagonal (occlusion) is black.

    Args:
        flow: (B, 2, H, W) in pixels.
    """
    length = flow.float().square().sum(1).sqrt()
    shown = length <= float(np.hypot(*flow.shape[-2:]))
    lengths = length[shown].flatten().cpu().numpy()
    full = max(MIN_FULL_PX, float(np.quantile(lengths, FULL_QUANTILE)) if len(lengths) else 0.0)
    turn = torch.atan2(flow[:, 1], flow[:, 0]).float().cpu().numpy() / (2 * np.pi) % 1 * max(WHEEL)
    channels = [np.interp(turn, list(WHEEL), values) for values in zip(*WHEEL.values(), strict=True)]
    hue = torch.from_numpy(np.stack(channels, -1).astype(np.float32)).to(flow.device)
    saturation = (length / full).clamp(max=1)[..., None]
    return (1 - saturation * (1 - hue)) * shown[..., None]
