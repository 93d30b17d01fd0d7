"""The frames of a file chunk by chunk, each read while the one before is at work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import MediaError
from ..plan.chunks import Chunk
from ..video.info import VideoInfo
from ..video.reader import Timeline, iter_frames, to_floats, upright_pixels


class ChunkFrames:
    """The frames of a file, in order; only those that a chunk still needs are kept, and one chunk is read ahead.

    What waits is kept in the integers that were decoded, a quarter of what a chunk takes.

    Args:
        is_premultiplied: leave the colours of an EXR multiplied by alpha.
    """

    def __init__(self, info: VideoInfo, timeline: Timeline, *, is_premultiplied: bool = False) -> None:
        self._frames: Iterator[Any] = iter_frames(
            info.path, fields=info.fields, section=info.section, one_thread=timeline.is_damaged
        )
        self._alpha, self._is_premultiplied = info.picture.alpha, is_premultiplied
        self._next = 0
        self._kept: dict[int, np.ndarray] = {}
        self._ahead: Future[list[np.ndarray]] | None = None

    def take(self, chunk: Chunk, following: Chunk | None = None) -> Tensor:
        """(T, h, w, 3) of a chunk that begins no earlier than the last one.

        Args:
            following: the one that is taken next, which is read beside what is done with this one; None for none.

        Raises:
            MediaError: when the file has fewer frames than it had.
        """
        pixels = self._read(chunk) if self._ahead is None else self._ahead.result()
        self._ahead = None if following is None else self._begin(following)
        frames = torch.empty(len(pixels), *pixels[0].shape)
        for number, each in enumerate(pixels):
            frames[number] = to_floats(each)
        return frames

    def _begin(self, chunk: Chunk) -> Future[list[np.ndarray]]:
        ahead: Future[list[np.ndarray]] = Future()

        def read() -> None:
            try:
                ahead.set_result(self._read(chunk))
            except BaseException as error:  # raised where the chunk is taken
                ahead.set_exception(error)

        threading.Thread(target=read, name="patchvsr reader", daemon=True).start()
        return ahead

    def _read(self, chunk: Chunk) -> list[np.ndarray]:
        self._kept = {index: frame for index, frame in self._kept.items() if index >= chunk.first}
        while self._next < chunk.end:
            frame = next(self._frames, None)
            if frame is None:
                raise MediaError(
                    "The input has fewer frames than when the run began; leave it in place and start again."
                )
            if self._next >= chunk.first:  # others belong to chunks that are finished
                self._kept[self._next] = upright_pixels(frame, self._alpha, is_premultiplied=self._is_premultiplied)
            self._next += 1
        return [self._kept[index] for index in range(chunk.first, chunk.end)]
