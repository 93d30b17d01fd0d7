"""What a video can be saved as."""

from __future__ import annotations

from enum import Enum


class VideoCodec(str, Enum):
    AUTO = "auto"
    H264 = "h264"


class VideoContainer(str, Enum):
    AUTO = "auto"
    MP4 = "mp4"
