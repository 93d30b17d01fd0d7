"""Video files as they travel through a graph."""

from __future__ import annotations

import io


class VideoFromFile:
    """A file, or a part of one."""

    def __init__(self, file: str | io.BytesIO, *, start_time: float = 0, duration: float = 0) -> None:
        self.file, self.window = file, (start_time, duration)

    def get_stream_source(self) -> str | io.BytesIO:
        return self.file

    def get_active_trim_window(self) -> tuple[float, float]:
        return self.window
