"""Reads a video file into frames, with the timing that its output needs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.reformatter import Colorspace, Interpolation
from av.video.stream import VideoStream
from torch import Tensor

from ..errors import MediaError

PRECISE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Conversion without the shortcuts that swscale takes by default (54 dB instead of 46)."""
HD_LINES = 720
"""Untagged video with at least so many lines is BT.709, with fewer BT.601."""

HDR = (16, 18)
"""AVCOL_TRC_SMPTE2084 (PQ) and AVCOL_TRC_ARIB_STD_B67 (HLG)."""


@dataclass(frozen=True)
class VideoInfo:
    """What a file's header says."""

    path: Path
    width: int
    height: int
    fps: Fraction
    frames: int
    """Exact where the container says it, otherwise from the duration; 0 when unknown."""
    audio_streams: int
    time_base: Fraction
    """Unit of the timestamps, seconds."""
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel over its height."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A decoded clip."""

    info: VideoInfo
    frames: Tensor
    """(T, H, W, 3) float32 in [0, 1]."""
    timestamps: tuple[int, ...]
    """Presentation time of every frame in units of ``time_base``."""
    time_base: Fraction


@dataclass(frozen=True)
class Timeline:
    """When the frames of a file are shown, and where its shots begin."""

    timestamps: tuple[int, ...]
    """Presentation time of every frame in units of ``time_base``."""
    time_base: Fraction
    cuts: tuple[int, ...]
    """First frames of new shots."""


def probe(path: str | Path) -> VideoInfo:
    """Read the header of a video file.

    Raises:
        MediaError: when there is no such file, or no video in it.
    """
    path = Path(path)
    with _opened(path) as container:
        return _info(path, container)


def read_clip(path: str | Path) -> Clip:
    """Decode a whole video file.

    Raises:
        MediaError: when there is no such file, no video in it, or it is damaged.
    """
    info = probe(path)
    frames = []
    timestamps: list[int | None] = []
    for frame in decoded(info.path):
        frames.append(to_rgb(frame))
        timestamps.append(frame.pts)
    return Clip(info, torch.stack(frames), _increasing(timestamps, info), info.time_base)


def read_frames(path: str | Path, count: int) -> Tensor:
    """Decode the first frames of a video file and no more: (T, H, W, 3) float32 in [0, 1], T at most ``count``.

    Raises:
        MediaError: as :func:`read_clip` does.
    """
    return torch.stack([to_rgb(frame) for frame in itertools.islice(decoded(Path(path)), count)])


def scan(path: str | Path, *, find_cuts: bool = True) -> Timeline:
    """Decode a video file without keeping its frames.

    Raises:
        MediaError: as :func:`read_clip` does.
    """
    from .cuts import CutFinder, thumb_size

    info = probe(path)
    finder = CutFinder()
    timestamps: list[int | None] = []
    cuts = []
    for frame in decoded(info.path):
        if find_cuts:
            width, height = thumb_size(frame.width, frame.height)
            thumb = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation=Interpolation.AREA)
            if finder.begins_shot(thumb):
                cuts.append(len(timestamps))
        timestamps.append(frame.pts)
    return Timeline(_increasing(timestamps, info), info.time_base, tuple(cuts))


def decoded(path: Path) -> Iterator[av.VideoFrame]:
    """The frames of a file one by one, all of one size.

    Raises:
        MediaError: when it is damaged, or far shorter than it says.
    """
    with _opened(path) as container:
        stream = _picture_stream(path, container)
        stream.thread_type = "AUTO"
        timestamps: list[int | None] = []
        size: tuple[int, int] | None = None
        frames = iter(container.decode(stream))
        while True:
            try:
                frame = next(frames, None)
            except (av.error.FFmpegError, OSError) as error:
                raise MediaError(
                    f"{path.name} is damaged after frame {len(timestamps)} ({error}); re-encode or cut it before "
                    "upscaling."
                ) from error
            if frame is None:
                break
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                raise MediaError(f"{path.name} changes its resolution on the way; split it where the size changes.")
            timestamps.append(frame.pts)
            yield frame
        if not timestamps:
            raise MediaError(f"{path.name} has a video stream but not one frame; check the export that made it.")
        _check_complete(path, stream, timestamps)


def _check_complete(path: Path, stream: VideoStream, timestamps: Sequence[int | None]) -> None:
    """Raise when far fewer frames came out than the header promised: libav skips damage without a word."""
    promised, found = stream.frames, len(timestamps)
    duration = stream.metadata.get("DURATION")
    shown = [t for t in timestamps if t is not None]
    if not promised and duration and stream.time_base and len(shown) == found > 1:
        hours, minutes, seconds = (float(part) for part in duration.split(":"))
        elapsed = float((shown[-1] - shown[0]) * stream.time_base)
        promised = round((hours * 3600 + minutes * 60 + seconds) / max(elapsed / (found - 1), 1e-3))
    if found < promised - max(2, promised // 20):
        raise MediaError(f"{path.name} is cut off or damaged: {found} of about {promised} frames are there; repair it.")


def to_rgb(frame: av.VideoFrame) -> Tensor:
    """One decoded frame as (H, W, 3) float32 in [0, 1], upright, with the colour matrix that it declares."""
    if frame.color_trc in HDR:
        raise MediaError("The video is HDR (PQ or HLG), which is not supported yet; convert it to SDR first.")
    deep = max(component.bits for component in frame.format.components) > 8
    untagged_hd = frame.colorspace == 2 and frame.height >= HD_LINES  # 2: AVCOL_SPC_UNSPECIFIED
    array = frame.to_ndarray(
        format="rgb48le" if deep else "rgb24",
        interpolation=PRECISE,
        src_colorspace=Colorspace.ITU709 if untagged_hd else None,
    )
    upright = np.rot90(array, frame.rotation // 90)
    return torch.from_numpy(upright.astype(np.float32) / (65535 if deep else 255))


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    if not path.exists():
        raise MediaError(f"There is no file {path}; check the path.")
    if path.is_dir():
        raise MediaError(f"{path} is a folder; give a video file.")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path.name} cannot be opened as video ({error}); check that the file is complete."
        ) from error
    with container:
        yield container


def _picture_stream(path: Path, container: InputContainer) -> VideoStream:
    """The first video stream that is no cover art."""
    for stream in container.streams.video:
        if stream.disposition & av.stream.Disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise MediaError(f"{path.name} is in a video format that cannot be decoded here; convert it to H.264.")
        return stream
    raise MediaError(f"{path.name} has no video stream; give a file with a picture.")


def _info(path: Path, container: InputContainer) -> VideoInfo:
    stream = _picture_stream(path, container)
    fps = stream.average_rate or stream.guessed_rate or Fraction(25)
    frames = stream.frames
    if not frames and container.duration:
        frames = round(container.duration / av.time_base * fps)
    width, height = stream.width, stream.height
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if _rotation(container, stream) % 180:
        width, height, aspect = height, width, 1 / aspect
    return VideoInfo(
        path, width, height, fps, frames, len(container.streams.audio), stream.time_base or 1 / fps, aspect
    )


def _rotation(container: InputContainer, stream: VideoStream) -> int:
    """How far a player turns the frames, degrees anticlockwise; only a decoded frame says it."""
    try:
        return next((frame.rotation for frame in container.decode(stream)), 0)
    except (av.error.FFmpegError, OSError):
        return 0  # decoding for real says what is wrong


def _increasing(timestamps: list[int | None], info: VideoInfo) -> tuple[int, ...]:
    """The file's own timestamps, or evenly spaced ones where it has none or they run back."""
    known = [t for t in timestamps if t is not None]
    if len(known) == len(timestamps) and all(a < b for a, b in itertools.pairwise(known)):
        return tuple(known)
    return tuple(round(k / info.fps / info.time_base) for k in range(len(timestamps)))
