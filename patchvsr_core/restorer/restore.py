"""Runs the restorer over a clip of any size and length, in bounded memory.

In time the clip is divided into short windows: the forward state is carried from one to the next,
exactly as without them; the backward pass of a window begins a few frames after it. In space
tiles overlap and fade into one another.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..distributed import current_group, sharded
from ..errors.finite import check_finite
from ..optical_flow.flow import ClipFlows, estimate_clip_flows
from ..plan.canvas import Span
from ..plan.chunks import ChunkState
from ..plan.planner import tile_axis
from ..plan.target_size import SCALE
from ..progress import OnDone
from ..resample import resize
from .network import Restorer, RestorerConfig, picture, upsampled

WINDOW_FRAMES = 8
LOOK_AHEAD_FRAMES = 3
"""How far beyond a window its backward pass begins."""
TILE_PX = 384
OVERLAP_PX = 32
"""Sides of a tile and of what neighbours share, pixels of the input."""
LEAST_TILE_PX = 128
"""Where several processes divide the tiles of a frame."""
PREVIOUS, STATE = "restorer frame", "restorer state {}"
"""What a chunk leaves to the next: the frame before it, and the forward state of every tile."""
Finish = Callable[[int, Tensor], Tensor]
"""(number of the first frame, (W, H, W, 3) restored frames) to what is kept of them: as many frames, or none."""
LIVE_FEATURES = 6
"""Maps of features of one frame that a step of a recurrence holds at once."""


def working_bytes(frames: int, size: tuple[int, int], config: RestorerConfig = RestorerConfig()) -> int:
    """Memory that :func:`restore_clip` takes beside the clip, its flow and the result.

    Args:
        size: (height, width) of the input.
    """
    pixels, tile = math.prod(size), math.prod(min(side, TILE_PX) for side in size)
    length = min(frames, WINDOW_FRAMES + LOOK_AHEAD_FRAMES)
    kept = length * (config.channels + 2 * config.state_channels)  # features, bicubic and states of the backward pass
    at_work = LIVE_FEATURES * config.channels + 3 * config.state_channels
    window = min(frames, WINDOW_FRAMES) * 3 * SCALE**2
    return ((kept + at_work) * tile + window * (tile + 2 * pixels)) * torch.float32.itemsize


@dataclass(frozen=True, eq=False)
class _Clip:
    """A clip and what is known of it before it is restored."""

    frames: Tensor
    """(T, 3, h, w)."""
    flows: ClipFlows
    entry: Tensor
    """(1, 2, h, w): the flow from the first frame to the one before the clip."""
    tiles: list[tuple[Span, Span]]
    level: Tensor
    """(1,): of noise and compression."""


@dataclass(frozen=True, eq=False)
class _Window:
    """Frames that are restored together; every tensor is that of one tile."""

    clip: Tensor
    """(1, W + ahead, 3, h, w)."""
    to_next: Tensor
    """(1, W + ahead - 1, 2, h, w)."""
    to_previous: Tensor
    """(1, W, 2, h, w) from every frame to the one before; where there is none it is not used."""
    frames: int
    """W, without those ahead."""


@torch.inference_mode()
def restore_clip(
    restorer: Restorer,
    frames: Tensor,
    size: tuple[int, int] | None = None,
    *,
    degradation: float = 0.0,
    flows: ClipFlows | None = None,
    tile_px: int = TILE_PX,
    chunk_state: ChunkState | None = None,
    on_frames: OnDone | None = None,
    finish: Finish | None = None,
) -> Tensor:
    """Restore and upscale a clip.

    Args:
        frames: (T, h, w, 3) in [0, 1]; not changed. Only the window at work goes to the network's device.
        size: (height, width) of the result; None: four times the input's. Another one is resampled from that.
        degradation: level of noise and compression in the input, see :func:`degradation.degradation_level`.
        flows: optical flow of the clip; None: it is measured.
        tile_px: side of a tile in pixels of the input.
        chunk_state: takes the forward state on from the chunk before and to the one after.
        on_frames: called after every window, and with the same numbers at every frame within one, so that it can stop.
        finish: what becomes of every window before the next one is restored.

    Returns:
        (T, *size, 3) float32 in [0, 1] where ``frames`` are, or of the size that ``finish`` makes, and none where it
        keeps none. The processes of the current group divide the tiles, and each has all frames.
    """
    height, width = int(frames.shape[1]), int(frames.shape[2])
    size = size or (SCALE * height, SCALE * width)
    planes = frames[..., :3].movedim(-1, 1).float()
    flows = estimate_clip_flows(planes) if flows is None else flows
    tiles = _plan_tiles((height, width), tile_px, current_group().size)
    chunk_state = chunk_state or ChunkState()
    states, entry = _enter(chunk_state.before, planes, tiles)
    clip = _Clip(planes, flows, entry, tiles, torch.full((1,), degradation))
    result: Tensor | None = None
    report = on_frames or (lambda done, total: None)
    for first, last in _spans(len(frames), chunk_state.until):
        on_frame = partial(report, first, len(frames))
        made = _to_size(_restore_window(restorer, clip, states, first, last, on_frame), size)
        if last == chunk_state.until:
            chunk_state.leave(_leave(planes[last - 1], states, tiles, restorer.config.state_channels))
        made = made if finish is None else finish(first, made)
        result = _keep(result, made, first, planes)
        report(last, len(frames))
    assert result is not None, "a clip has frames"
    return result


def _to_size(large: Tensor, size: tuple[int, int]) -> Tensor:
    """(W, 3, 4 h, 4 w), which may be changed, to (W, *size, 3) in [0, 1]."""
    return resize(large.movedim(1, -1).clamp_(0, 1), size).clamp_(0, 1)


def _keep(result: Tensor | None, made: Tensor, first: int, clip: Tensor) -> Tensor:
    """The result, (T, H, W, 3) and planar in memory for what comes next, with a window's frames; none without any."""
    if result is None:
        result = clip.new_empty(len(clip) if len(made) else 0, 3, *made.shape[1:3]).movedim(1, -1)
    if len(made):
        result[first : first + len(made)] = made
    return result


def _spans(frames: int, until: int | None) -> Iterator[tuple[int, int]]:
    """First frame and end of every window; one ends where the next chunk begins."""
    until = frames if until is None else until
    starts = [*range(0, until, WINDOW_FRAMES), *range(until, frames, WINDOW_FRAMES)]
    return itertools.pairwise([*starts, frames])


def _restore_window(
    restorer: Restorer,
    clip: _Clip,
    states: list[Tensor | None],
    first: int,
    last: int,
    on_frame: Callable[[], None],
) -> Tensor:
    """(W, 3, 4 h, 4 w) of the frames from ``first`` to ``last``; the tiles' states move on to the last of them."""
    height, width = clip.frames.shape[2:]
    large = clip.frames.new_zeros(last - first, 3, SCALE * height, SCALE * width)
    for k in sharded(range(len(clip.tiles))):
        window = _window(clip, first, last, *clip.tiles[k])
        restored, states[k] = _restore_tile(restorer, window, states[k], clip.level, on_frame)
        _add(large, restored, *clip.tiles[k])
    return current_group().all_reduce(large)


def _plan_tiles(size: tuple[int, int], tile_px: int, processes: int) -> list[tuple[Span, Span]]:
    """Tiles of (height, width); smaller ones where there would be less than one for every process."""
    while True:
        rows, columns = (tile_axis(n, min(n, tile_px), min(OVERLAP_PX, n - 1)) for n in size)
        tiles = [(row, column) for row in rows for column in columns]
        if len(tiles) >= processes or tile_px <= LEAST_TILE_PX:
            return tiles
        tile_px = max(LEAST_TILE_PX, tile_px // 2)


def _enter(
    before: dict[str, Tensor] | None, clip: Tensor, tiles: list[tuple[Span, Span]]
) -> tuple[list[Tensor | None], Tensor]:
    """The forward states of the frame before the clip by tiles, and the flow to it, (1, 2, h, w)."""
    states = [(before or {}).get(STATE.format(k)) for k in range(len(tiles))]
    sizes = [(len(row.weight), len(column.weight)) for row, column in tiles]
    known = [state is not None and tuple(state.shape[2:]) == size for state, size in zip(states, sizes, strict=True)]
    if not before or not all(known):
        return [None] * len(tiles), clip.new_zeros(1, 2, *clip.shape[2:])
    pair = torch.cat([before[PREVIOUS].to(clip), clip[:1]])
    return [state.to(clip) for state in states if state is not None], estimate_clip_flows(pair).to_previous


def _leave(
    frame: Tensor, states: list[Tensor | None], tiles: list[tuple[Span, Span]], channels: int
) -> dict[str, Tensor]:
    """What :func:`_enter` takes, in half precision: every process has it for all tiles."""
    kept = {PREVIOUS: frame[None].cpu()}
    mine = {*current_group().shard(range(len(tiles)))}
    for k, (state, (row, column)) in enumerate(zip(states, tiles, strict=True)):
        own = frame.new_zeros(1, channels, len(row.weight), len(column.weight))
        if state is not None and k in mine:
            own.copy_(state)  # a state lies in memory with its channels last, and all processes sum the same layout
        kept[STATE.format(k)] = current_group().all_reduce(own).half().cpu()
    return kept


def _window(clip: _Clip, first: int, last: int, row: Span, column: Span) -> _Window:
    ahead = min(last + LOOK_AHEAD_FRAMES, len(clip.frames))
    to_previous = clip.flows.to_previous
    back = torch.cat([clip.entry, to_previous[:last]]) if first == 0 else to_previous[first - 1 : last]
    parts = (clip.frames[first:ahead], clip.flows.to_next[first : ahead - 1], back[: last - first])
    frames, to_next, back = (part[..., row.cells, column.cells][None].contiguous() for part in parts)
    return _Window(frames, to_next, back, last - first)


def _restore_tile(
    restorer: Restorer, window: _Window, state: Tensor | None, level: Tensor, on_frame: Callable[[], None]
) -> tuple[Tensor, Tensor | None]:
    """((W, 3, 4 h, 4 w), forward state of the last frame); ``state`` is that of the frame before the window."""
    device = restorer.stem.weight.device
    clip, to_next, to_previous = (x.to(device) for x in (window.clip[0], window.to_next, window.to_previous))
    state = None if state is None else state.to(device)
    features = restorer.frame_features(clip, level.to(device))
    bicubic = upsampled(clip, restorer.config.hidden)
    backward = restorer.pass_backward(features[None], bicubic[None], to_next)
    results = []
    for t in range(window.frames):
        on_frame()
        frame = slice(t, t + 1)
        state, _ = restorer.step_forward(features[frame], bicubic[frame], backward[t], state, to_previous[:, t])
        results.append(picture(state).to(window.clip.device))
    return check_finite(torch.cat(results), "restorer", restorer), state


def _add(large: Tensor, restored: Tensor, row: Span, column: Span) -> None:
    """Add a tile where it belongs, with the weights of its fade."""
    rows, columns = row.scaled(SCALE), column.scaled(SCALE)
    large[:, :, rows.cells, columns.cells] += restored * torch.outer(rows.weights(restored), columns.weights(restored))
