"""Enumerations."""

from .video_types import VideoCodec, VideoContainer

__all__ = ["VideoCodec", "VideoContainer"]
