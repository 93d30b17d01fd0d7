"""Video and image sequence input and output with PyAV: frames, timing, audio, transparency, chunks of a job."""

from .info import VideoInfo, probe
from .picture import Picture
from .reader import Clip, read_clip, read_frames, scan
from .writer import VideoWriter

__all__ = ["Clip", "Picture", "VideoInfo", "VideoWriter", "probe", "read_clip", "read_frames", "scan"]
