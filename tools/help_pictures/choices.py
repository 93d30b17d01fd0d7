"""What single widgets do: the strength map, softened attention, a schedule."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from patchvsr_core import AttentionOptions, AttentionRun, Controls, encode_canvas, sigma_schedule, star_schedule
from patchvsr_core.finish.strength_map import StrengthMap, apply_strength_map
from patchvsr_core.hosts.diffusers.denoiser import DiffusersDenoiser
from patchvsr_core.plan.canvas import TOKEN_CELLS
from patchvsr_core.plan.positions import patches_at
from patchvsr_core.quality.heatmap import CELL_PX, overlay_heatmap
from patchvsr_core.sampling.schedules import COARSE

from .clips import PATCH, SHOWN, STRIDE_PX, TARGET, cut, enlarged, models, plan, sample, unrefined
from .drawing import (
    BLACK,
    GREY,
    PALE,
    WHITE,
    WIDTH_PX,
    Box,
    Color,
    label,
    outline,
    paper,
    polyline,
    scaled,
    sheet,
    write,
)

AROUND: Box = (10, 228, 200, 480)
"""What is shown of the frame."""
OVAL = ((468, 112), (104, 130))
"""Middle and half axes of the face in the enlarged frame, (x, y)."""
SOFT_PX = 12
"""How softly the map falls off."""
EXAGGERATED = 8
PLACE, BLOCK, HEAD = 3, 5, 1
"""Number of a place of the plan, and the block and head of the tiny default whose attention is shown in it."""
LOOKING = (8, 6)
"""(row, column) of the token that looks."""
SOFTNESS = 1.5
GRAPH_PX = 300
GRAPH_X, GRAPH_Y = (40, 466), (30, 266)
"""Where the first and the last step lie, and the levels 1 and 0."""
STAR_COLOR: Color = (220, 60, 40)
USUAL_COLOR: Color = (0, 110, 190)
SHIFT = 5.0
"""Of a Wan's usual schedule."""


def strength_map() -> np.ndarray:
    """A face that is protected: what the model adds without the map and with it."""
    base, result = enlarged(sample()), unrefined()
    oval = np.ones(TARGET, np.float32)
    cv2.ellipse(oval, *OVAL, 0, 0, 360, 0.0, cv2.FILLED, cv2.LINE_AA)
    mask = torch.from_numpy(cv2.GaussianBlur(oval, (0, 0), SOFT_PX))
    held = apply_strength_map(result, base, StrengthMap(map=mask[None]))
    added = [(0.5 + EXAGGERATED * (frames - base)).clamp(0, 1)[SHOWN] for frames in (result, held)]
    pictures = {
        "strength_map, over the frame": torch.lerp(base[SHOWN], mask[..., None].expand(-1, -1, 3), 0.75),
        f"without the map: what the model adds, x{EXAGGERATED}": added[0],
        "with the map": added[1],
    }
    return sheet({text: cut(picture, AROUND).numpy() for text, picture in pictures.items()}, columns=1)


class Watching(AttentionRun):
    """Keeps the queries and keys of one block."""

    def attend(self, block: int, q: Tensor, k: Tensor, *others: object, **choices: object) -> Tensor:
        """As the run does."""
        if block == BLOCK:
            self.seen = q, k
        return super().attend(block, q, k, *others, **choices)


def softness() -> np.ndarray:
    """Where a token of the tiny default looks in its patch, as it does and with softened attention."""
    (patch,) = patches_at(plan(), PLACE)
    latent = encode_canvas(models().codec, sample(), plan().canvas)
    run = Watching(AttentionOptions(), plan(), 1)
    denoiser = DiffusersDenoiser(models().base, [models().prompt], models().adapter, attention=run)
    for call in run.calls(0, [patch], 1):
        run.enter(call)
        denoiser(patch.crop(latent), torch.tensor(1.0), Controls(plan(), latent, adapter=models().adapter)([patch]))
    denoiser.close()
    grid = (patch.size[0], patch.size[1] // TOKEN_CELLS, patch.size[2] // TOKEN_CELLS)
    token = int(np.ravel_multi_index((SHOWN, *LOOKING), grid))
    query, keys = (part[0, :, HEAD] for part in run.seen)
    scores = keys @ query[token] / query.shape[1] ** 0.5
    frame = cut(enlarged(sample())[SHOWN], PATCH)[None]
    pictures = {
        "positive branch: as it is": looked_at(frame, scores.softmax(0).view(grid)[SHOWN]),
        f"negative branch: softened by {SOFTNESS}": looked_at(frame, (scores / SOFTNESS).softmax(0).view(grid)[SHOWN]),
    }
    return np.concatenate(
        [sheet(pictures, columns=2, gap_px=8), label("guidance leads away from the negative branch, to crisper detail")]
    )


def looked_at(frame: Tensor, weights: Tensor) -> np.ndarray:
    """Weights of tokens over a frame, and a mark on the token that looks."""
    token_px = TOKEN_CELLS * STRIDE_PX
    cells = F.interpolate((weights / weights.max())[None, None], scale_factor=token_px // CELL_PX)
    side = WIDTH_PX // 2 - 4
    drawn = scaled(overlay_heatmap(frame, cells)[0], side, side)
    y, x = (place * token_px * side // PATCH[2] for place in LOOKING)
    outline(drawn, (y, x, token_px, token_px), WHITE, 1)
    return drawn


def noise_levels() -> np.ndarray:
    """STAR's noise levels step by step, beside a schedule of as many steps that a Wan usually has."""
    star = star_schedule()
    usual = sigma_schedule(len(star) - 1, shift=SHIFT)
    drawn = paper(GRAPH_PX)
    (left, right), (top, bottom) = GRAPH_X, GRAPH_Y
    for tenth in range(0, 11, 2):
        y = round(bottom - tenth / 10 * (bottom - top))
        cv2.line(drawn, (left, y), (right, y), PALE, 1)
        write(drawn, f"{tenth / 10:g}", (left - 28, y + 5), GREY)
    for levels, color in ((usual, USUAL_COLOR), (star, STAR_COLOR)):
        x = torch.linspace(left, right, len(levels))
        points = torch.stack([x, bottom - levels * (bottom - top)], dim=1).numpy()
        polyline(drawn, points, color)
        for point in points.round().astype(int):
            cv2.circle(drawn, tuple(map(int, point)), 4, color, cv2.FILLED, cv2.LINE_AA)
    middle = round(left + COARSE * (right - left) / (len(star) - 1))
    cv2.line(drawn, (middle, top + 60), (middle, bottom), GREY, 1)
    write(drawn, f"simple, shift {SHIFT:g}", (right - 130, top + 30), USUAL_COLOR)
    write(drawn, "STAR Schedule", (middle + 60, bottom - 110), STAR_COLOR)
    write(drawn, "big steps:", (left + 30, bottom - 60), BLACK)
    write(drawn, "structure", (left + 30, bottom - 42), BLACK)
    write(drawn, "small steps: detail", (middle + 60, bottom - 42), BLACK)
    write(drawn, "noise level", (left, top - 10), BLACK)
    write(drawn, f"{len(star) - 1} steps, from left to right", (right - 178, bottom + 20), BLACK)
    return drawn
