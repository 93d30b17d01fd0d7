"""Retries with less when memory runs out: fewer patches at once, smaller tiles, shorter chunks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..plan.chunks import cross_fade
from ..settings import Settings

SMALLEST_TILE_PX = 256
SHORTEST = 5
"""Frames below which a chunk is not split."""
OVERLAP = 2
"""Frames in which the parts of a split chunk fade into one another."""
Work = Callable[..., Tensor]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or off it."""
    words = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )


class OOMBackoff:
    """Calls ``work``, and again with less after it ran out of memory; later calls begin with what was enough.

    Args:
        work: see :func:`hosts.diffusers.pipeline.upscale`.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.patches_at_once = self.tile_px = self.frames = 0  # limits; 0: none
        self.log = logging.getLogger("patchvsr")

    def __call__(
        self,
        frames: Tensor,
        target: tuple[int, int],
        models: Any,
        settings: Settings,
        report: Any,
        *,
        noise: Any,
        chunk_state: Any = None,
    ) -> Tensor:
        """Shaped as what ``work`` returns; after memory ran out, all frames of the chunk.

        Raises:
            the error of ``work``, when nothing can be reduced any further.
        """
        while True:
            try:
                return self._all(frames, (target, models, self._limited(settings), report), noise, chunk_state)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or not self._step_down(self._limited(settings), len(frames)):
                    raise
            if chunk_state is not None:
                chunk_state.on_final = None  # it may have some frames already; now all of them are returned
                chunk_state.after = None  # of work that was not finished
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _limited(self, settings: Settings) -> Settings:
        patches = settings.patches_at_once  # 0: as many as fit
        if self.patches_at_once and not 0 < patches < self.patches_at_once:
            patches = self.patches_at_once
        return replace(
            settings,
            patches_at_once=patches,
            tile_px=min(settings.tile_px, self.tile_px or settings.tile_px),
        )

    def _step_down(self, settings: Settings, frames: int) -> bool:
        """Reduce what the result depends on least; False when nothing can be reduced any further."""
        length = min(frames, self.frames or frames)
        if settings.patches_at_once != 1:
            self.patches_at_once = max(settings.patches_at_once // 2, 1)
            self.log.warning("Out of memory: continuing with %d patches at once.", self.patches_at_once)
        elif settings.tile_px // 2 >= SMALLEST_TILE_PX:
            self.tile_px = settings.tile_px // 2
            self.log.warning("Out of memory: continuing with tiles of %d px.", self.tile_px)
        elif length >= SHORTEST:
            self.frames = (length + OVERLAP + 1) // 2
            self.log.warning("Out of memory: continuing with %d frames at once.", self.frames)
        else:
            return False
        return True

    def _all(self, frames: Tensor, others: tuple[Any, ...], noise: Any, chunk_state: Any) -> Tensor:
        """The clip in parts of at most ``self.frames``, cross-faded; only a whole clip passes a state on."""
        if not self.frames or len(frames) <= self.frames:
            return self.work(frames, *others, noise=noise, chunk_state=chunk_state)
        part = frames[: self.frames]
        result = self.work(part, *others, noise=_part(noise, frames, 0, len(part)))
        while len(result) < len(frames):
            first = len(result) - OVERLAP
            part = frames[first : first + self.frames]
            more = self.work(part, *others, noise=_part(noise, frames, first, len(part)))
            overlap = cross_fade(result[first:], more[:OVERLAP])
            result = torch.cat([result[:first], overlap, more[OVERLAP:]])
        return result


def _part(noise: Any, frames: Tensor, first: int, length: int) -> Any:
    """The noise of a part is that of the whole clip, where every frame has its own."""

    def make(shape: torch.Size) -> Tensor:
        if shape[2] != length:
            return noise(shape)
        whole = noise(torch.Size((*shape[:2], len(frames), *shape[3:])))
        return whole[:, :, first : first + length]

    return make
