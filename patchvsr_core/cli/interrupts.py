"""Ctrl+C and the signals that end a run: the first one stops it in order, more of them do not disturb that."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STUCK_S = 5.0
"""A run that has not ended so long after the first Ctrl+C ends at the next one, without cleaning up."""
INTERRUPTED = 130
STOPPED = "patchvsr: stopped; the same command resumes after the last finished chunk."


@contextmanager
def stopped_once() -> Iterator[None]:
    """Raise KeyboardInterrupt for the first SIGINT, SIGTERM or SIGHUP only.

    After it, more of them are ignored until the process ends; unless cleaning up takes too long, then the next one
    ends the process at once. What is finished is safe at any moment. A SIGHUP that ``nohup`` ignores stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = _Handler()
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number, old in before.items():
        if old != signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            if signal.getsignal(number) is handler:  # a stopped process is about to end, and Python drops handlers then
                signal.signal(number, old if handler.first is None else signal.SIG_IGN)


class _Handler:
    """Of a signal."""

    def __init__(self) -> None:
        self.first: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> Any:
        now = time.monotonic()
        if self.first is None:
            self.first = now
            raise KeyboardInterrupt
        if now - self.first > STUCK_S:
            os._exit(INTERRUPTED)


def print_any_name() -> None:
    """Let consoles that lack a character show its number, so that no message ends a run."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
