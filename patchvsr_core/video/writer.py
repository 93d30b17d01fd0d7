"""Encodes frames to a file, which gets its name only when it is complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
from av.video.frame import VideoFrame
from torch import Tensor

from ..errors import OutputError
from ..files import commit_file
from .conversion import PRECISE, from_rgb
from .encoders import CRF, FILMS, SUFFIXES, choose_encoder, tags
from .hidden_names import check_name, partial_of
from .local_files import local_url
from .picture import Picture
from .sequence import DEFAULT_NAME, folder_of, image_kind, is_named, is_sequence, pattern, to_integers
from .swscale import convert

DETERMINISTIC = {"fflags": "+bitexact"}
"""Without this option Matroska files contain random numbers and are not reproducible."""


X265_DELAY = 2
"""Of clips with so few frames x265 computes decoding times from memory that it never set, which muxers refuse."""


class VideoWriter:
    """Context manager that encodes frames to a video file.

    Args:
        path: target; its suffix chooses the container.
        size: (height, width) of the frames.
        timestamps, time_base: presentation time of each frame.
        crf: constant rate factor; lower is better and larger.
        picture: depth, transparency and colour tags of the file.
        codec: see :data:`encoders.CODECS`.

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
        crf: int = CRF,
        picture: Picture = Picture(),
        codec: str | None = None,
    ) -> None:
        self.path = Path(path)
        self.partial = partial_of(self.path)
        self.size, self.timestamps, self.time_base, self.fps = size, timestamps, time_base, fps
        self.picture = picture
        self.written = 0
        check_target(self.path)
        self.encoder = choose_encoder(self.path, size, picture, codec, crf)

    def __enter__(self) -> VideoWriter:
        with explain_write_errors(self.path):
            self.container = av.open(local_url(self.partial), "w", options=DETERMINISTIC)
        try:
            with explain_write_errors(self.path):
                self.video = self._video_stream()
        except BaseException:
            self.container.close()
            self.partial.unlink(missing_ok=True)
            raise
        return self

    def write(self, frames: Iterable[Tensor]) -> None:
        """Encode (T, H, W, 3) frames, or 4 channels with transparency, in [0, 1]; values are rounded."""
        names = ("rgb48le", "rgba64le") if self.picture.depth > 8 else ("rgb24", "rgba")
        matrix, color_range = tags(self.encoder, self.picture)
        for frame in frames:
            pixels = to_integers(frame if self.picture.alpha else frame[..., :3], 16 if self.picture.depth > 8 else 8)
            shown = VideoFrame.from_ndarray(pixels, format=names[self.picture.alpha])
            if self.encoder.is_rgb:
                shown = convert(shown, format=self.encoder.pix_fmt, dst_color_range=color_range, interpolation=PRECISE)
            else:
                shown = from_rgb(shown, self.encoder.pix_fmt, matrix, color_range)
            shown.color_primaries, shown.color_trc = self.picture.primaries, self.picture.transfer
            shown.pts, shown.time_base = self.timestamps[self.written], self.time_base
            with explain_write_errors(self.path):
                self._mux(self.video.encode(shown))
            self.written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with explain_write_errors(self.path):
                try:
                    if error is None:
                        self._mux(self.video.encode(None))
                finally:
                    self.container.close()
                if error is None:
                    commit_file(self.partial, self.path)
        finally:
            self.partial.unlink(missing_ok=True)

    def _mux(self, packets: list[Any]) -> None:
        if self.encoder.codec == "libx265" and len(self.timestamps) <= X265_DELAY:
            for packet in packets:
                packet.dts = packet.pts  # so few frames are not reordered
        self.container.mux(packets)

    def _video_stream(self) -> av.VideoStream:
        height, width = self.size
        stream = self.container.add_stream(self.encoder.codec, rate=self.fps)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = width, height
        stream.pix_fmt = self.encoder.pix_fmt
        stream.time_base = stream.codec_context.time_base = self.time_base
        stream.options = dict(self.encoder.options)
        context, picture = stream.codec_context, self.picture
        context.colorspace, context.color_range = tags(self.encoder, picture)
        context.color_primaries, context.color_trc = picture.primaries, picture.transfer
        if self.encoder.codec == "libx265" and self.path.suffix.lower() in FILMS:
            context.codec_tag = "hvc1"  # required by Apple's players
        context.sample_aspect_ratio = picture.pixel_aspect
        return stream


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn errors of the operating system and the encoder into a readable message."""
    try:
        yield
    except (OSError, av.error.FFmpegError) as error:
        if path.is_dir():
            raise OutputError(
                f"{path} became a folder during the run; remove it and start again: finished chunks are kept."
            ) from error
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); free some space or choose another folder."
        ) from error


def _is_ours(file: Path) -> bool:
    """Whether a file in the output folder may be overwritten: an image of an earlier result, or hidden."""
    return file.name.startswith(".") or is_named(file, DEFAULT_NAME)


def check_target(path: Path, source: Path | None = None) -> None:
    """Raise unless the result of ``source`` can be written to ``path``, a file or an image sequence.

    Raises:
        OutputError: for an unknown container, a name that is too long, a folder that is missing or read-only, or
            the source itself.
    """
    check_name(path)
    if is_sequence(path):
        image_kind(pattern(path), 8)
        if path.is_dir() and any(not _is_ours(file) for file in path.iterdir()):
            raise OutputError(
                f"{path} has other files in it; choose an empty folder, or a name such as frame_%05d.png in it."
            )
        if source is not None and is_sequence(source) and folder_of(path).resolve() == folder_of(source).resolve():
            raise OutputError(f"{path} is the folder of the input; choose another folder for the images.")
    elif path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"{path.name} has no known video suffix; use one of {', '.join(SUFFIXES)}, or a folder for images."
        )
    elif source is not None and path.exists() and path.samefile(source):
        raise OutputError(f"{path} is the input itself; choose another name for the result.")
    folder = folder_of(path)
    if not folder.is_dir():
        raise OutputError(f"The folder {folder} does not exist; create it first.")
    probe_file = folder / f".patchvsr-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        probe_file.touch()
        probe_file.unlink()
    except OSError as error:
        raise OutputError(f"{folder} cannot be written to ({error.strerror}); choose another folder.") from error
