"""A limit for what may wait for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable


def watch(finished: threading.Event, seconds: int, end: Callable[[], object]) -> threading.Thread:
    """Call ``end`` when ``finished`` is not set after so many seconds in which this process could run.

    A machine that was put to sleep for an hour has used one of them.
    """

    def count() -> None:
        if not any(finished.wait(1) for _ in range(seconds)):
            end()

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    return thread
