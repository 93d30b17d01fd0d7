"""Patches that attend to one another: spatial and temporal attention propagation, and detail guidance.

Source: DC-VSR (SIGGRAPH 2025); nothing is trained. In the self-attention of a base model

- SAP: every patch also attends to keys and values sampled from the whole frame, so that distant
  patches agree. On a frame of n x m patches every n-th row and m-th column of tokens is taken: as
  many as one patch has, at any size;
- TAP: every patch also attends to the most detailed frames of its neighbour in time, the window before
  it and the window after it in turn;
- DSSAG: the negative branch of guidance sees a softened attention, softmax(Q K' / (g sqrt d)) V,
  so that guidance moves the result towards detail, at no extra evaluation.

Keys are cached without their rotary position and rotated to their position relative to the patch that
attends to them, which is exact. A run belongs to one sampling; hosts announce every model call to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..adapter.rotary import grid_positions
from ..errors import PlanError
from ..plan.canvas import TOKEN_CELLS, Patch, PatchPlan
from .attention_options import AttentionOptions
from .frame_selection import select_frames
from .token_layout import WAN_TOKENS, TokenLayout
from .token_sampling import group_by_window, sample_frame_tokens, window_starts

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Plain attention on (B, L, heads, head_dim) queries, keys and values."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of the model: which patches, and whether their predictions count or only what they record."""

    patches: Sequence[Patch]
    counts: bool = True
    propagation: str = "none"
    """``record`` (SAP's first pass), ``spatial``, ``forward`` or ``backward``."""


class Condition(NamedTuple):
    """One text condition of a model call, which holds all patches of the call for each."""

    key: Any
    """Tells conditions apart from step to step."""
    negative: bool


@dataclass(eq=False)
class _CachedTokens:
    """Keys without position, values, and where they lie on the canvas."""

    k: Tensor
    v: Tensor
    """(L, heads, head_dim), like the keys."""
    positions: Tensor
    """(L, 3) of (t, y, x) in tokens of the canvas."""


@dataclass(eq=False)
class _Evaluation:
    call: Call = field(default=Call(()))
    samples: dict[Patch, Tensor] = field(default_factory=dict)
    """Which of its tokens a patch gives to the whole frame."""
    frames: dict[Patch, Tensor] = field(default_factory=dict)
    """Which of its frames a patch gives to its neighbour in time."""
    softening: float = 1.0


class AttentionRun:
    """What one sampling caches of its attention.

    Args:
        steps: of the schedule.
    """

    def __init__(self, options: AttentionOptions, plan: PatchPlan, steps: int) -> None:
        self.options, self.plan, self.steps = options, plan, steps
        self._spatial = options.spatial and len({p.origin[1:] for p in plan.primary}) > 1
        self._temporal = options.temporal and len(window_starts(plan.patches)) > 1
        self._evaluation = _Evaluation()
        self._frame: dict[Any, _CachedTokens] = {}
        """By (condition, block, window): the tokens of the whole frame."""
        self._recorded: dict[Any, list[_CachedTokens]] = {}
        """The same, patch by patch, until a pass is over."""
        self._neighbour: dict[Any, _CachedTokens] = {}
        """By (condition, block, position in the frame): what the window just done leaves to the next."""
        self._x0: Tensor | None = None

    def calls(self, step: int, patches: Sequence[Patch], size: int) -> Iterator[Call]:
        """The model calls of one evaluation, of up to ``size`` patches each, in the order they must have."""
        start, end = self.options.softening
        softening = start + (end - start) * (step / (self.steps - 1) if self.steps > 1 else 1)
        turns = [turn for turn, wanted in (("spatial", self._spatial), ("temporal", self._temporal)) if wanted]
        turn = turns[step % len(turns)] if turns else "none"
        self._evaluation = _Evaluation(softening=softening)
        self.drop_pass()
        if turn == "spatial":
            yield from self._spatial_calls(patches, size)
        elif turn == "temporal":
            forward = (step // len(turns)) % 2 == 0
            yield from self._temporal_calls(patches, size, forward)
        else:
            yield from batch_calls(patches, size)

    def _spatial_calls(self, patches: Sequence[Patch], size: int) -> Iterator[Call]:
        self._evaluation.samples = sample_frame_tokens(patches, self.plan)
        for members in group_by_window(patches):
            if not self.options.lazy:
                self._frame = {}  # only one window's at a time
                givers = [patch for patch in members if patch in self._evaluation.samples]
                yield from batch_calls(givers, size, counts=False, propagation="record")
                self._finish_pass()
            yield from batch_calls(members, size, propagation="spatial")
            self._finish_pass()

    def _temporal_calls(self, patches: Sequence[Patch], size: int, forward: bool) -> Iterator[Call]:
        """One temporal window after the other: each finds what its neighbour left."""
        chosen = partial(select_frames, self.options.choice, self.options.frames, x0=self._x0, forward=forward)
        self._evaluation.frames = {patch: chosen(patch) for patch in patches}
        in_order = group_by_window(patches)
        for members in in_order if forward else reversed(in_order):
            yield from batch_calls(members, size, propagation="forward" if forward else "backward")
        self._neighbour = {}

    def drop_pass(self) -> None:
        """An evaluation ends before its time: drop what it recorded."""
        self._recorded, self._neighbour = {}, {}

    def enter(self, call: Call) -> None:
        """The model calls that follow hold the patches of ``call``."""
        self._evaluation.call = call

    def leave(self, x0: Tensor) -> None:
        """An evaluation is over; ``x0`` (1, C, T, H, W) is what it predicts for the positive condition."""
        if self._temporal and self.options.choice == "rich":
            self._x0 = x0

    def attend(
        self,
        block: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        conditions: Sequence[Condition],
        attend: Attend,
        layout: TokenLayout = WAN_TOKENS,
    ) -> Tensor:
        """Self-attention of one block, with what propagates.

        Args:
            q, k, v: (conditions * patches, L, heads, head_dim), the first two with rotary positions.
            conditions: in the order of the rows; each has a row for every patch of the call.
            layout: of the L tokens.
        """
        patches = self._evaluation.call.patches
        if layout.is_image and patches[0].size[0] > 1:
            raise PlanError(
                "Attention propagation on an image model looks at single frames; set window_frames to 1 in Patch "
                "Planner."
            )
        rows = [(condition, patch) for condition in conditions for patch in patches]
        if len(rows) != len(q):
            raise PlanError(
                f"The model was called with {len(q)} rows for {len(patches)} patches; a node between merger and "
                "model changes the batch: remove it, or turn attention propagation off."
            )
        if self._evaluation.softening != 1:
            softened = [self._evaluation.softening if condition.negative else 1.0 for condition, _ in rows]
            q = q / torch.tensor(softened, device=q.device, dtype=q.dtype)[:, None, None, None]
        if self._evaluation.call.propagation != "none" and self._is_active_in(block):
            k, v = self._with_propagated(block, rows, k, v, layout)
        return attend(q, k, v)

    def _is_active_in(self, block: int) -> bool:
        return self.options.layers is None or block in self.options.layers

    def _with_propagated(
        self, block: int, rows: list[tuple[Condition, Patch]], k: Tensor, v: Tensor, layout: TokenLayout
    ) -> tuple[Tensor, Tensor]:
        found = [self._find_propagated(block, condition, patch) for condition, patch in rows]
        grid, text = _token_grid(rows[0][1], k.shape[1], layout)
        self._record(block, rows, k[:, text:], v[:, text:], grid, layout)
        others = [cached for cached in found if cached is not None]
        if len(others) < len(rows):  # the first temporal window, or the first step of a lazy run
            return k, v
        keys, values = [k], [v]
        rotated = [
            self._keys_relative_to(patch, grid, cached, k, layout)
            for (_, patch), cached in zip(rows, others, strict=True)
        ]
        keys.append(torch.stack(rotated))
        values.append(torch.stack([cached.v.to(v) for cached in others]))
        return torch.cat(keys, 1), torch.cat(values, 1)

    def _find_propagated(self, block: int, condition: Condition, patch: Patch) -> _CachedTokens | None:
        """What a patch attends to beside itself."""
        if self._evaluation.call.propagation == "spatial":
            return self._frame.get((condition.key, block, patch.origin[0]))
        return self._neighbour.get((condition.key, block, patch.origin[1:]))

    def _record(
        self,
        block: int,
        rows: list[tuple[Condition, Patch]],
        k: Tensor,
        v: Tensor,
        grid: tuple[int, int, int],
        layout: TokenLayout,
    ) -> None:
        kind = self._evaluation.call.propagation
        if kind == "spatial" and not self.options.lazy:
            return
        positions = grid_positions(grid)
        for row, (condition, patch) in enumerate(rows):
            tokens = self._select_tokens(patch, grid)
            if tokens is None:
                continue
            local = positions[tokens]
            raw = layout.turn(k[row, tokens.to(k.device)], -local)
            cached = _CachedTokens(self._store(raw), self._store(v[row, tokens.to(v.device)]), local + _origin(patch))
            if kind in ("forward", "backward"):
                self._neighbour[condition.key, block, patch.origin[1:]] = cached
            else:
                self._recorded.setdefault((condition.key, block, patch.origin[0]), []).append(cached)

    def _select_tokens(self, patch: Patch, grid: tuple[int, int, int]) -> Tensor | None:
        if self._evaluation.call.propagation in ("forward", "backward"):
            per_frame = grid[1] * grid[2]
            frames = self._evaluation.frames[patch]
            return (frames[:, None] * per_frame + torch.arange(per_frame)).flatten()
        return self._evaluation.samples.get(patch)

    def _store(self, x: Tensor) -> Tensor:
        return x.cpu() if self.options.offload else x.clone()

    def _keys_relative_to(
        self, patch: Patch, grid: tuple[int, int, int], cached: _CachedTokens, like: Tensor, layout: TokenLayout
    ) -> Tensor:
        """Keys at their position relative to a patch, at most ``reach`` of its sizes away."""
        positions = cached.positions - _origin(patch)
        if self.options.reach is not None:
            size = torch.tensor(grid, dtype=torch.float32)
            away = self.options.reach * size
            positions = torch.minimum(torch.maximum(positions, -away), size - 1 + away)
        return layout.turn(cached.k.to(like), positions)

    def _finish_pass(self) -> None:
        """A pass over a window is done: what its patches recorded becomes the whole frame."""
        for key in list(self._recorded):
            parts = self._recorded.pop(key)
            k, v, positions = (
                torch.cat(tensors) for tensors in zip(*((p.k, p.v, p.positions) for p in parts), strict=True)
            )
            self._frame[key] = _CachedTokens(k, v, positions)


def batch_calls(patches: Sequence[Patch], size: int, **kind: Any) -> Iterator[Call]:
    """Calls of up to ``size`` patches in their own order."""
    return (Call(patches[first : first + size], **kind) for first in range(0, len(patches), size))


def cache_bytes(options: AttentionOptions, plan: PatchPlan, width: int, layers: int, item_bytes: int) -> int:
    """Memory that the keys and values of one condition take, at most."""
    per_frame = plan.patch_size[1] * plan.patch_size[2] // TOKEN_CELLS**2
    acting = layers if options.layers is None else len([n for n in options.layers if n < layers])
    at_once = 1 + len(window_starts(plan.primary)) if options.lazy else 1
    in_space = at_once * plan.patch_size[0] if options.spatial else 0
    in_time = len({p.origin[1:] for p in plan.patches}) * options.frames if options.temporal else 0
    return 2 * width * item_bytes * acting * per_frame * (in_space + in_time)


def _token_grid(patch: Patch, tokens: int, layout: TokenLayout) -> tuple[tuple[int, int, int], int]:
    """(T, H, W) of the tokens of a patch, and how many of the text stand before them."""
    frames, height, width = patch.size
    grid = (frames, height // TOKEN_CELLS, width // TOKEN_CELLS)
    text = tokens - grid[0] * grid[1] * grid[2]
    if text < 0 or (text and not layout.text_first):
        raise PlanError(
            f"The model sees {tokens} tokens in a patch of {grid} (T, H, W); attention propagation needs one that "
            "makes a token of 1 x 2 x 2 cells and adds none of its own, such as Wan text-to-video."
        )
    return grid, text


def _origin(patch: Patch) -> Tensor:
    t, y, x = patch.origin
    return torch.tensor([t, y / TOKEN_CELLS, x / TOKEN_CELLS])
