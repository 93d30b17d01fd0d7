"""What goes on from frame to frame, and from chunk to chunk."""

from __future__ import annotations

import cv2
import numpy as np

from patchvsr_core.plan.canvas import TOKEN_CELLS
from patchvsr_core.plan.chunks import Chunk, plan_chunks
from patchvsr_core.plan.positions import patches_at
from patchvsr_core.propagation.token_sampling import sample_frame_tokens
from patchvsr_core.quality.heatmap import overlay_heatmap, pool_cells
from patchvsr_core.quality.temporal import compensated_difference, estimate_motion
from patchvsr_core.realtime.exr_passes import read_passes

from .clips import EXAMPLES, SHOWN, STRIDE_PX, enlarged, plan, sample, unrefined, whole_sample
from .drawing import (
    BLACK,
    BLUE,
    ORANGE,
    RED,
    WHITE,
    WIDTH_PX,
    Box,
    arrow,
    dimmed,
    half,
    label,
    note,
    outline,
    paper,
    place,
    scaled,
    sheet,
    write,
)

FULL_SCALE = 14 / 255
"""Change that is shown in the brightest colour."""
LOOKING = 8
"""Number of the place whose patch looks at others."""
BEFORE, NOW = 8, 30
"""Frames of the sample in two windows of time."""
FRAMES, CUT, LENGTH, OVERLAP = 40, 24, 14, 4
"""Of a film: its frames, where its second shot begins, frames in a chunk, and those that two chunks share."""
FRAME_PX, THUMB_FRAMES, CHUNK_PX = 12, 4, 34
"""Width of a frame of the film, frames for one picture of it, and height of a chunk."""


def change_along_motion() -> np.ndarray:
    """What changes from a frame to the next, followed along its motion, without Flow Propagation and with it."""
    large = enlarged(sample())
    motion = estimate_motion(large[SHOWN : SHOWN + 1], large[SHOWN + 1 : SHOWN + 2])
    pictures = {}
    for text, weight in (("without", 0.0), ("weight 0.25", 0.25), ("weight 0.5", 0.5)):
        first, second = unrefined(weight)[SHOWN : SHOWN + 2].split(1)
        changed = compensated_difference(first, second, motion).abs().mean(1, keepdim=True) * motion.valid
        pictures[text] = half(overlay_heatmap(first, pool_cells(changed) / FULL_SCALE)[0])
    return sheet(pictures, columns=1)


def attention() -> np.ndarray:
    """A patch that looks at the thinned frame, and one that looks at the window of time before it."""
    return np.concatenate(
        [
            looking_at_frame(),
            label("spatial (SAP): a patch also looks at the thinned frame (dots)"),
            looking_back(),
            label("temporal (TAP): it also looks at the window before"),
        ]
    )


def looking_at_frame() -> np.ndarray:
    """The tokens that make up the thinned frame, as dots."""
    drawn = dimmed(half(enlarged(whole_sample()[NOW : NOW + 1])[0]))
    box = half_box(LOOKING)
    middle = box[1] + box[3] // 2, box[0] + box[2] // 2
    token_px = TOKEN_CELLS * STRIDE_PX // 2
    for patch, tokens in sample_frame_tokens(plan().patches, plan()).items():
        across = patch.size[2] // TOKEN_CELLS
        in_first = tokens[tokens < across * (patch.size[1] // TOKEN_CELLS)].tolist()
        for row, column in (divmod(token, across) for token in in_first):
            y, x = patch.origin[1] // TOKEN_CELLS + row, patch.origin[2] // TOKEN_CELLS + column
            dot = round((x + 0.5) * token_px), round((y + 0.5) * token_px)
            cv2.circle(drawn, dot, 3, ORANGE, cv2.FILLED, cv2.LINE_AA)
    for end in ((48, 40), (432, 40), (48, 168), (432, 168)):
        arrow(drawn, edge_of(box, middle, end), end, WHITE)
    outline(drawn, box, WHITE)
    return drawn


def looking_back() -> np.ndarray:
    """Two frames beside one another; the patch in the later one looks at its place in the earlier one."""
    side, gap = WIDTH_PX // 2 - 6, 12
    height = side * 5 // 12
    drawn = paper(height)
    boxes = []
    for x, frame, text in ((0, BEFORE, "window before"), (side + gap, NOW, "this window")):
        picture = dimmed(scaled(enlarged(whole_sample()[frame : frame + 1])[0], side, height))
        place(drawn, picture, (x, 0))
        note(drawn, text, (x + 8, 18))
        top, left, tall, wide = (value * side // WIDTH_PX for value in half_box(LOOKING))
        boxes.append((top, left + x, tall, wide))
    for box, color in zip(boxes, (ORANGE, WHITE), strict=True):
        outline(drawn, box, color)
    (top, left, tall, wide), (_, start, *_) = boxes
    arrow(drawn, (start - 3, top + tall // 2), (left + wide + 4, top + tall // 2), WHITE)
    return drawn


def half_box(number: int) -> Box:
    """Where patches of a place lie in a frame at half its size."""
    (patch,) = patches_at(plan(), number)
    y, x, height, width = (cells * STRIDE_PX // 2 for cells in (*patch.origin[1:], *patch.size[1:]))
    return y, x, min(height, 200 - y), width


def edge_of(box: Box, middle: tuple[int, int], end: tuple[int, int]) -> tuple[int, int]:
    """Where the line from the middle of a box to a point leaves it."""
    _, _, height, width = box
    dx, dy = end[0] - middle[0], end[1] - middle[1]
    part = min(width / 2 / max(abs(dx), 1), height / 2 / max(abs(dy), 1))
    return round(middle[0] + part * dx), round(middle[1] + part * dy)


def chunks() -> np.ndarray:
    """A film of two shots, and the chunks that it is upscaled in."""
    film = film_strip()
    drawn = paper(2 * (CHUNK_PX + 8) + 8)
    planned = plan_chunks(FRAMES, [CUT], LENGTH, OVERLAP)
    for number, chunk in enumerate(planned):
        following = planned[number + 1].lead if number + 1 < len(planned) else 0
        draw_chunk(drawn, number, chunk, following)
    cut_x = CUT * FRAME_PX
    picture = np.concatenate(
        [film, label("video, with a cut"), drawn, label("chunks: a cross-fade inside a shot, none at the cut")]
    )
    cv2.line(picture, (cut_x, 0), (cut_x, picture.shape[0] - label("").shape[0]), RED, 2)
    return picture


def film_strip() -> np.ndarray:
    """(side, WIDTH_PX, 3) frames of the sample, and of the render after the cut."""
    side = THUMB_FRAMES * FRAME_PX
    image, _, _ = read_passes(EXAMPLES / "render")
    thumbs = []
    for first in range(0, FRAMES, THUMB_FRAMES):
        frame = whole_sample()[first] if first < CUT else image[(first - CUT) // THUMB_FRAMES]
        height, width = frame.shape[:2]
        left = (width - height) // 2
        thumbs.append(scaled(frame[:, left : left + height], side, side))
    return np.concatenate(thumbs, axis=1)


def draw_chunk(drawn: np.ndarray, number: int, chunk: Chunk, following: int) -> None:
    """As a bar with slanting ends where it fades; ``following`` frames are the next chunk's too."""
    top = 8 + number % 2 * (CHUNK_PX + 8)
    bottom, color = top + CHUNK_PX, (BLUE, ORANGE)[number % 2]
    first, end = chunk.first * FRAME_PX + 2, chunk.end * FRAME_PX - 2
    corners = [
        (first, bottom),
        (first + chunk.lead * FRAME_PX, top),
        (end - following * FRAME_PX, top),
        (end, bottom),
    ]
    cv2.fillPoly(drawn, [np.array(corners, np.int32)], color, cv2.LINE_AA)
    write(drawn, f"chunk {number + 1}", ((first + end) // 2 - 24, bottom - 10), BLACK)
