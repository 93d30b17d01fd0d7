"""What Upscale Video shows while it works: a bar, chunk, frame and time left in words, and the frames as they come."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any

import comfy.utils
from PIL import Image
from torch import Tensor

from ...errors import phrase
from ...errors import say as translate
from ...plan.chunks import ChunkState
from ...run.forecast_text import seconds_text
from .progress import check_interrupt, running_node

try:
    from server import PromptServer
except ImportError:  # outside a server
    PromptServer = None

Spans = Mapping[str, tuple[float, float]]
"""Where each stage lies in the work on a chunk, roughly; a stage that is not named comes last."""
DENOISED: Spans = {
    "encode": (0.0, 0.05),
    "denoise": (0.05, 0.5),
    "decode": (0.5, 0.55),
    "refine": (0.55, 0.8),
    "base": (0.8, 0.95),
}
FROM_BASE: Spans = {
    **DENOISED,
    "base": (0.0, 0.1),
    "encode": (0.1, 0.15),
    "denoise": (0.15, 0.5),
    "refine": (0.55, 0.95),
}
"""Of models that start from the base layer."""
RESTORED: Spans = {"base": (0.0, 0.95)}
STREAMED: Spans = {"upscale": (0.0, 1.0)}
SAY_SECONDS = 1.0
"""Between two texts."""
PICTURE_PX = 512


class VideoProgress:
    """Of a whole job; it also looks whether the user cancelled.

    Args:
        frames: of the clip.
        spans: of the stages that run.
    """

    def __init__(self, frames: int, spans: Spans) -> None:
        self.bar = comfy.utils.ProgressBar(1)
        self.frames, self.spans = frames, spans
        self.chunk, self.chunks, self.part = 0, 1, 0.0
        self.begun: tuple[float, float] | None = None
        self.said = 0.0

    def next_chunk(self, number: int, total: int) -> None:
        """(chunks done, of all): a chunk begins, or all are there."""
        self.chunk, self.chunks, self.part = number, total, 0.0
        self._show()

    def __call__(self, stage: str, done: int, total: int) -> None:
        first, last = self.spans.get(stage, (0.95, 1.0))
        self.part = max(self.part, first + (last - first) * done / max(total, 1))  # some stages run twice
        self._show()

    def showing(self, work: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """``work`` on a chunk, whose middle frame is shown on the node when it is there."""

        def run(frames: Tensor, *values: Any, chunk_state: ChunkState, **options: Any) -> Tensor:
            if chunk_state.on_final is not None:
                chunk_state.on_final = self._seeing(chunk_state.on_final, len(frames) // 2)
            made = work(frames, *values, chunk_state=chunk_state, **options)
            if len(made):
                self._show(made[len(made) // 2])
            return made

        return run

    def _seeing(self, on_final: Callable[[Tensor], None], number: int) -> Callable[[Tensor], None]:
        """Hand frames on, and show one of them."""
        numbers = itertools.count()

        def take(frame: Tensor) -> None:
            on_final(frame)
            if next(numbers) == number:
                self._show(frame)

        return take

    def _show(self, frame: Tensor | None = None) -> None:
        check_interrupt()
        picture = None if frame is None else ("JPEG", _picture(frame), PICTURE_PX)
        self.bar.update_absolute(round(1000 * (self.chunk + self.part)), 1000 * self.chunks, picture)
        now = time.monotonic()
        if now - self.said >= SAY_SECONDS and self.chunk < self.chunks:
            self.said = now
            say(self.text(now))

    def text(self, now: float) -> str:
        """Such as chunk 2/5 · frame 37/120 · 42 s left; the time counts from where this run began."""
        whole = (self.chunk + self.part) / self.chunks
        self.begun = self.begun or (now, whole)
        began, first = self.begun
        words = [
            phrase(f"chunk {self.chunk + 1}/{self.chunks}"),
            phrase(f"frame {int(whole * self.frames)}/{self.frames}"),
        ]
        if whole > first:
            words.append(phrase(f"{seconds_text((now - began) * (1 - whole) / (whole - first))} left"))
        return " · ".join(map(translate, words))


def say(text: str) -> None:
    """Show a text on the node that is running, where there is a page to show it."""
    running = running_node()
    send = getattr(getattr(PromptServer, "instance", None), "send_progress_text", None)
    if running is not None and send is not None:
        send(text, running)


def _picture(frame: Tensor) -> Any:
    """(H, W, C) in [0, 1] as a picture for the page; ComfyUI always has Pillow."""
    step = -(-max(frame.shape[:2]) // (2 * PICTURE_PX))
    small = frame[::step, ::step, :3].float().clamp(0, 1).mul(255).round().byte()
    return Image.fromarray(small.cpu().numpy())
