"""Writes frames and the input's audio; a file appears under its name only when it is complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import torch
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from torch import Tensor

from ..errors import OutputError
from .reader import PRECISE

CODECS = {".mp4": "libx264", ".mov": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9"}
BT709 = 1
"""AVCOL_SPC_BT709, AVCOL_PRI_BT709 and AVCOL_TRC_BT709."""
LIMITED = 1
"""AVCOL_RANGE_MPEG."""


class VideoWriter:
    """A context that encodes frames to a file, tagged BT.709, and copies audio beside them.

    Args:
        path: target; its suffix chooses container and codec.
        size: (height, width) of the frames.
        timestamps, time_base: when each frame is shown.
        audio_from: file whose audio streams are copied, packet by packet.
        crf: constant quality of the encoder; lower is better and larger.
        pixel_aspect: width of a pixel over its height.

    Raises:
        OutputError: when the target cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int],
        timestamps: Sequence[int],
        time_base: Fraction,
        *,
        fps: Fraction,
        audio_from: Path | None = None,
        crf: int = 16,
        pixel_aspect: Fraction = Fraction(1),
    ) -> None:
        self.path = Path(path)
        self.partial = partial_of(self.path)
        self.size, self.timestamps, self.time_base, self.fps = size, timestamps, time_base, fps
        self.audio_from, self.crf, self.pixel_aspect = audio_from, crf, pixel_aspect
        self.written = 0
        check_target(self.path)

    def __enter__(self) -> VideoWriter:
        with explained(self.path):
            self.container = av.open(str(self.partial), "w")
        try:
            with explained(self.path):
                self.video = self._video_stream()
                self.audio = AudioCopy(self.audio_from, self.container) if self.audio_from else None
            self._start()
        except BaseException:
            self.container.close()
            self.partial.unlink(missing_ok=True)
            raise
        return self

    def write(self, frames: Tensor) -> None:
        """Encode (T, H, W, 3) frames in [0, 1]; values are rounded, not truncated."""
        for frame in frames:
            pixels = (frame.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
            picture = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format=self.video.pix_fmt,
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                interpolation=PRECISE,
            )
            picture.color_primaries, picture.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
            picture.pts, picture.time_base = self.timestamps[self.written], self.time_base
            with explained(self.path):
                self._mux(picture)
            self.written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with explained(self.path):
                try:
                    if error is None:
                        self._mux(None)
                        if self.audio:
                            self.audio.copy_until(None)
                finally:
                    self.container.close()
                if error is None:
                    self.partial.replace(self.path)
        finally:
            self.partial.unlink(missing_ok=True)

    def _start(self) -> None:
        """Write the header now: what the container cannot hold shows before the work, not after it."""
        try:
            self.container.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            if self.audio is None:
                raise OutputError(f"{self.path.name} cannot be started ({error}); choose another format.") from error
            raise OutputError(
                f"The audio cannot be copied into a {self.path.suffix} file ({error}); write to .mkv instead."
            ) from error

    def _mux(self, picture: VideoFrame | None) -> None:
        for packet in self.video.encode(picture):
            if self.audio and packet.pts is not None and packet.time_base:
                self.audio.copy_until(packet.pts * packet.time_base)
            self.container.mux(packet)

    def _video_stream(self) -> av.VideoStream:
        height, width = self.size
        stream = self.container.add_stream(CODECS[self.path.suffix.lower()], rate=self.fps)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"
        stream.time_base = stream.codec_context.time_base = self.time_base
        # x264's macroblock tree reads memory that it never wrote: with it, no file comes out the same twice.
        own = {"b": "0"} if "vpx" in stream.codec.name else {"x264-params": "mbtree=0"}
        stream.options = {"crf": str(self.crf), **own}
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        context.sample_aspect_ratio = self.pixel_aspect
        return stream


class AudioCopy:
    """Audio packets of a file, handed over in the order of time."""

    def __init__(self, path: Path, target: av.container.OutputContainer) -> None:
        self.source = av.open(str(path))
        self.target = target
        self.streams: dict[int, AudioStream] = {}
        for stream in self.source.streams.audio:
            codec = stream.codec_context.codec.canonical_name
            if codec not in target.supported_codecs:
                raise OutputError(
                    f"The audio of {path.name} is {codec}, which a {target.format.name} file cannot hold; "
                    "write to .mkv instead."
                )
            self.streams[stream.index] = target.add_stream_from_template(stream, opaque=True)
        self.packets = self.source.demux(*self.source.streams.audio) if self.streams else iter(())
        self.pending: Any = None

    def copy_until(self, time: Fraction | None) -> None:
        """Copy what is due by ``time`` seconds; None copies the rest and closes the source."""
        while (packet := self.pending or next(self.packets, None)) is not None:
            self.pending = None
            if packet.dts is None:
                continue
            if time is not None and packet.dts * packet.time_base > time:
                self.pending = packet
                return
            packet.stream = self.streams[packet.stream.index]
            self.target.mux(packet)
        if time is None:
            self.source.close()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn operating-system and encoder errors into one sentence."""
    try:
        yield
    except (OSError, av.error.FFmpegError) as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); free some space or choose another place."
        ) from error


def partial_of(path: Path) -> Path:
    """Where a file is until it is complete."""
    return path.with_name(f".{path.stem}.part{path.suffix}")


def check_target(path: Path, source: Path | None = None) -> None:
    """Raise unless a video made from ``source`` could be written to ``path``.

    Raises:
        OutputError: for an unknown container, a folder that is missing or read-only, or the
            source itself.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file in it.")
    if path.suffix.lower() not in CODECS:
        raise OutputError(f"{path.name} has no known video suffix; use one of {', '.join(CODECS)}.")
    if source is not None and path.exists() and path.samefile(source):
        raise OutputError(f"{path} is the input itself; choose another name for the result.")
    if not path.parent.is_dir():
        raise OutputError(f"The folder {path.parent} does not exist; create it first.")
    probe_file = partial_of(path)
    try:
        probe_file.touch()
        probe_file.unlink()
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be written to ({error.strerror}); choose another folder.") from error
