"""Encodes frames in a thread of their own while the next ones are made."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

import torch
from torch import Tensor

WAITING_FRAMES = 4
"""Between who makes frames and who encodes them, at most."""


class _Abandoned(Exception):
    """No more frames come."""


class EncodeBeside:
    """A context in which frames that are put are encoded; at its end all of them are.

    Args:
        encode: takes an iterator over the frames, which ends with an exception where they are not all made.
    """

    def __init__(self, encode: Callable[[Iterable[Tensor]], None]) -> None:
        self._encode = encode
        self._frames: queue.Queue[Tensor | None] = queue.Queue(WAITING_FRAMES)
        self._error: BaseException | None = None
        self._is_abandoned = self._has_ended = False
        self._thread: threading.Thread | None = None

    def abandon(self) -> None:
        """Keep nothing of what was put: no more frames come, and at the end of the context none are encoded."""
        self._is_abandoned = True

    def put(self, frame: Tensor) -> None:
        """Hand a frame over; waits while too many wait already.

        Raises:
            what ``encode`` raised.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="patchvsr encoder", daemon=True)
            self._thread.start()
        self._frames.put(frame)
        if self._error is not None:
            raise self._error

    def __enter__(self) -> EncodeBeside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is None:
            return
        self._is_abandoned |= error is not None
        self._frames.put(None)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                self._encode(self._taken())
        except _Abandoned:
            return
        except BaseException as error:  # raised where frames are put
            self._error = error
            while not self._has_ended:  # so that nobody waits for room
                self._has_ended = self._frames.get() is None

    def _taken(self) -> Iterator[Tensor]:
        while (frame := self._frames.get()) is not None:
            yield frame
        self._has_ended = True
        if self._is_abandoned:
            raise _Abandoned
