"""FFmpeg's swscale, with one context for each thread that converts frames."""

from __future__ import annotations

import threading
from typing import Any

from av.video.reformatter import VideoReformatter

_of_thread = threading.local()


def convert(frame: Any, **changes: Any) -> Any:
    """A frame in another pixel format or size.

    Every thread has one context of swscale, which works in that thread alone: PyAV would make one for every frame,
    with megabytes of tables and as many threads as the machine has cores.

    Args:
        frame: an ``av.VideoFrame``.
        changes: see ``VideoReformatter.reformat``.
    """
    if not hasattr(_of_thread, "reformatter"):
        _of_thread.reformatter = VideoReformatter()
    return _of_thread.reformatter.reformat(frame, threads=1, **changes)
