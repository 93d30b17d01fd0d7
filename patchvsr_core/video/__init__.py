"""Video files in and out, through PyAV."""

from .reader import Clip, VideoInfo, probe, read_clip, read_frames, scan
from .writer import VideoWriter

__all__ = ["Clip", "VideoInfo", "VideoWriter", "probe", "read_clip", "read_frames", "scan"]
