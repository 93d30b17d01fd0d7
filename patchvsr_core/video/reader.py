"""Decodes videos and image sequences, with the timestamps that the output needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.video.reformatter import Interpolation
from torch import Tensor

from ..errors import MediaError
from .info import (
    RGB,
    SWS_COLORSPACE,
    VideoInfo,
    alpha_decoder,
    assumed_matrix,
    is_float,
    opened,
    picture_stream,
    probe,
)
from .orientation import orientation
from .sequence import images, is_sequence, to_display
from .truncation import missing_bytes

SWS_BICUBIC, SWS_ACCURATE_RND, SWS_FULL_CHR_H_INT = 1 << 2, 1 << 18, 1 << 13
"""swscale's numbers; PyAV passes them on, but names the last two only from 18.0 on."""
PRECISE = SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT
"""Accurate conversion, which swscale does not do by default (54 dB instead of 46)."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A decoded clip."""

    info: VideoInfo
    frames: Tensor
    """(T, H, W, 3) float32 in [0, 1]; with transparency 4 channels."""
    timestamps: tuple[int, ...]
    """Presentation time of every frame in units of ``time_base``."""
    time_base: Fraction


@dataclass(frozen=True)
class Timeline:
    """Presentation times of a file's frames, and its shot boundaries."""

    timestamps: tuple[int, ...]
    """Presentation time of every frame in units of ``time_base``."""
    time_base: Fraction
    cuts: tuple[int, ...]
    """First frames of new shots."""


def read_clip(path: str | Path) -> Clip:
    """Decode a whole video file.

    Raises:
        MediaError: when there is no such file, it has no video, or it is damaged.
    """
    info = probe(path)
    frames = []
    timestamps: list[int | None] = []
    for frame in iter_frames(info.path):
        frames.append(to_tensor(frame, info.picture.alpha))
        timestamps.append(frame.pts)
    return Clip(info, torch.stack(frames), _make_monotonic(timestamps, info), info.time_base)


def read_frames(path: str | Path, count: int) -> Tensor:
    """Decode only the first frames of a video file: (T, H, W, 3) float32 in [0, 1], T at most ``count``.

    Raises:
        MediaError: as :func:`read_clip` does.
    """
    return torch.stack([to_tensor(frame) for frame in itertools.islice(iter_frames(Path(path)), count)])


def scan(path: str | Path, *, find_cuts: bool = True, on_frame: Callable[[], None] | None = None) -> Timeline:
    """Decode a video file without keeping its frames.

    Args:
        on_frame: called for every frame; raise from it to stop.

    Raises:
        MediaError: as :func:`read_clip` does.
    """
    from .shot_detection import ShotDetector, thumbnail_size

    info = probe(path)
    finder = ShotDetector()
    timestamps: list[int | None] = []
    cuts = []
    for frame in iter_frames(info.path):
        if find_cuts:
            width, height = thumbnail_size(frame.width, frame.height)
            thumb = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation=Interpolation.AREA)
            if finder.begins_shot(thumb):
                cuts.append(len(timestamps))
        timestamps.append(frame.pts)
        if on_frame:
            on_frame()
    return Timeline(_make_monotonic(timestamps, info), info.time_base, tuple(cuts))


def iter_frames(path: Path) -> Iterator[av.VideoFrame]:
    """Iterate over the frames of a file or the images of a sequence; all have the same size.

    Raises:
        MediaError: when it is damaged, far shorter than declared, or changed meanwhile.
    """
    timestamps: list[int | None] = []
    size: tuple[int, int] | None = None
    frames = _images(path) if is_sequence(path) else _frames(path, timestamps)
    before = _state(path)
    while True:
        try:
            frame = next(frames, None)
        except (av.error.FFmpegError, OSError, MediaError) as error:
            _check_unchanged(path, before)
            if isinstance(error, MediaError):
                raise
            raise MediaError(
                f"{path.name} is damaged after frame {len(timestamps)} ({error}); re-encode or trim it first."
            ) from error
        _check_unchanged(path, before)
        if frame is None:
            break
        size = size or (frame.width, frame.height)
        if (frame.width, frame.height) != size:
            raise MediaError(f"{path.name} changes its resolution midway; split it where the size changes.")
        timestamps.append(frame.pts)
        yield frame


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is written to or replaced; nothing of an image sequence, whose files are opened late."""
    if is_sequence(path) or not path.exists():
        return None
    state = path.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


def _check_unchanged(path: Path, before: tuple[int, ...] | None) -> None:
    if _state(path) != before:
        raise MediaError(f"{path.name} was changed or removed while it was read; leave it in place and start again.")


def _images(path: Path) -> Iterator[av.VideoFrame]:
    for number, file in enumerate(images(path)):
        with opened(file) as container:
            frame = next(container.decode(video=0))
        frame.pts = number
        yield frame


def _frames(path: Path, timestamps: Sequence[int | None]) -> Iterator[av.VideoFrame]:
    """Iterate over all frames, then check how many ``timestamps`` there are, as libav skips damage silently."""
    with opened(path) as container:
        stream = picture_stream(path, container)
        stream.thread_type = "AUTO"
        decode = (alpha_decoder(stream) or stream.codec_context).decode
        packets = 0
        for packet in container.demux(stream):
            packets += bool(packet.size) and not packet.is_discard
            yield from decode(packet if packet.size else None)
    found, missing = len(timestamps), missing_bytes(path)
    if not found:
        raise MediaError(f"{path.name} has a video stream without frames; check the program that exported it.")
    if missing or found < packets - max(2, packets // 20):
        lacks = f"{missing} bytes are missing at the end" if missing else f"{found} of {packets} frames can be read"
        raise MediaError(f"{path.name} is truncated or damaged: {lacks}; repair or export it again.")


def to_tensor(frame: av.VideoFrame, alpha: bool | None = None) -> Tensor:
    """Convert a decoded frame to (H, W, 3), or 4 with alpha, float32, rotated upright, with its declared colour matrix.

    In [0, 1], except for floating-point images, whose highlights may exceed 1.

    Args:
        alpha: whether to return an alpha channel; None if the frame has one.
    """
    pixels = _pixels(frame)
    if alpha is None or alpha == (pixels.shape[-1] == 4):
        return pixels
    return torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1) if alpha else pixels[..., :3]


def _pixels(frame: av.VideoFrame) -> Tensor:
    components = frame.format.components
    has_alpha = any(component.is_alpha for component in components)
    if is_float(frame.format):
        linear = _planes(frame)
        return torch.cat([to_display(linear[..., :3]), linear[..., 3:].clamp(0, 1)], -1)
    bits = 8 if max(component.bits for component in components) <= 8 else 16
    names = {8: ("rgb24", "rgba"), 16: ("rgb48le", "rgba64le")}
    options: dict[str, Any] = {}
    if not frame.format.is_rgb and frame.colorspace != RGB:
        options["src_colorspace"] = SWS_COLORSPACE[assumed_matrix(frame.colorspace, frame.width, frame.height)]
    array = frame.to_ndarray(format=names[bits][has_alpha], interpolation=PRECISE, **options)
    upright = orientation(frame).apply(array).astype(np.float32)
    return torch.from_numpy(upright / (2**bits - 1))


def _planes(frame: av.VideoFrame) -> Tensor:
    """Read a floating-point image without swscale, which would clip highlights: (H, W, 3 or 4)."""
    kind = np.dtype("<f2" if "f16" in frame.format.name else "<f4")
    pixels = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        used = np.ascontiguousarray(rows[:, : plane.width * kind.itemsize])
        pixels.append(used.view(kind).astype(np.float32))
    order = {1: [0, 0, 0], 3: [2, 0, 1], 4: [2, 0, 1, 3]}[len(pixels)]  # planes are in the order G, B, R, A
    return torch.from_numpy(np.stack([pixels[k] for k in order], -1))


def _make_monotonic(timestamps: list[int | None], info: VideoInfo) -> tuple[int, ...]:
    """The file's timestamps; a missing or decreasing one is set to one frame after the previous."""
    step = max(1, round(1 / info.fps / info.time_base))
    known: list[int] = []
    for shown in timestamps:
        after = known[-1] + step if known else 0
        known.append(after if shown is None or (known and shown <= known[-1]) else shown)
    return tuple(known)
