"""The file behind a VIDEO socket."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import InputImpl

from ...video import Picture, VideoWriter
from ...video.passthrough import write_audio
from ...video.reader import Timeline
from ...video.remux import join
from ...video.section import Section

FPS_DENOMINATOR = 1001
"""The largest of usual frame rates: core passes them on as floating-point numbers."""
MICROSECONDS = 10**6
"""Times are floating-point numbers too."""


@dataclass(frozen=True)
class VideoSource:
    """The file behind a VIDEO."""

    path: Path
    fps: Fraction | None = None
    """Of frames that other nodes made: exact, where the file counts milliseconds."""
    section: Section = field(default=Section())
    """The part of it that was chosen."""

    def timed(self, timeline: Timeline) -> Timeline:
        """The times of its frames: equally far apart, where nodes made them."""
        if self.fps is None:
            return timeline
        numbers = tuple(range(len(timeline.timestamps)))
        return replace(timeline, timestamps=numbers, time_base=1 / self.fps, last_duration=1)


def find_source(video: Any) -> VideoSource:
    """The file behind a VIDEO; what has none is written to ComfyUI's temporary folder."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    if not isinstance(video, InputImpl.VideoFromFile):
        parts = video.get_components()
        fps = Fraction(parts.frame_rate).limit_denominator(FPS_DENOMINATOR)
        return VideoSource(_of_frames(parts, fps, _depth_of(video), folder), fps)
    source, section = video.get_stream_source(), _section(video)
    if isinstance(source, str):
        return VideoSource(Path(source), section=section)
    data = source.getvalue()
    path = folder / f"patchvsr_{hashlib.sha256(data).hexdigest()[:16]}.mp4"
    path.write_bytes(data)
    return VideoSource(path, section=section)


def _section(video: Any) -> Section:
    """The part of a file that core's nodes chose."""
    if hasattr(video, "get_active_trim_window"):  # since ComfyUI 0.23
        first, length = video.get_active_trim_window()
    else:
        first, length = getattr(video, "_VideoFromFile__start_time", 0), getattr(video, "_VideoFromFile__duration", 0)
    begin, seconds = (Fraction(time).limit_denominator(MICROSECONDS) for time in (first, length))
    return Section(begin or None, begin + seconds if seconds else None)


def _depth_of(video: Any) -> int:
    """Bits of frames that other nodes made, as Create Video was asked for them."""
    return video.get_bit_depth() if hasattr(video, "get_bit_depth") else 8  # since ComfyUI 0.25


def _of_frames(parts: Any, fps: Fraction, depth: int, folder: Path) -> Path:
    """Frames that other nodes made, without loss, and their sound."""
    frames = parts.images
    silent = folder / f"patchvsr_{id(parts):x}.mkv"
    picture = Picture(alpha=frames.shape[-1] == 4, depth=depth)
    size = int(frames.shape[1]), int(frames.shape[2])
    with VideoWriter(silent, size, range(len(frames)), 1 / fps, fps=fps, picture=picture, codec="ffv1") as writer:
        writer.write(frames)
    if not parts.audio:
        return silent
    sound, path = folder / f"patchvsr_{id(parts):x}.m4a", silent.with_stem(f"{silent.stem}_sound")
    write_audio(sound, parts.audio["waveform"][0], int(parts.audio["sample_rate"]))
    join([silent], path, range(len(frames)), 1 / fps, fps, sound)
    return path
