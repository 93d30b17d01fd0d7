"""The finished parts of a long job: encoded videos or folders of images, joined at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
from torch import Tensor

from .encoders import CRF
from .info import Picture, VideoInfo
from .reader import Timeline
from .remux import check_container, display_order, join
from .sequence import is_sequence, name, numbers, pattern, write_image
from .writer import VideoWriter, explain_write_errors


@dataclass(frozen=True)
class Encoding:
    """What the user chooses about the file; the defaults keep what the input has."""

    crf: int = CRF
    codec: str | None = None
    """See :data:`encoders.CODECS`; None: what suits the container."""
    depth: int | None = None
    """8 or 10 bits; None: the input's."""
    alpha: bool = True
    """Keep transparency."""
    subtitles: bool = True
    """Copy subtitles and fonts."""

    def picture(self, info: VideoInfo) -> Picture:
        """How the pixels of the result are coded."""
        found = info.picture
        return replace(found, alpha=found.alpha and self.alpha, depth=self.depth or found.depth)


def check_output(output: Path, size: tuple[int, int], info: VideoInfo, encoding: Encoding) -> None:
    """Raise what would otherwise show after the work.

    Raises:
        OutputError: when the output cannot hold the picture, the sound or the subtitles.
    """
    if not is_sequence(output):
        check_container(
            output,
            size,
            info,
            picture=encoding.picture(info),
            codec=encoding.codec,
            crf=encoding.crf,
            subtitles=encoding.subtitles,
        )


def chunk_suffix(output: Path) -> str:
    """How the name of a piece ends."""
    return ".images" if is_sequence(output) else output.suffix


def write_chunk(piece: Path, frames: Tensor, output: Path, info: VideoInfo, encoding: Encoding) -> None:
    """Encode (T, H, W, C) frames; the piece appears under its name when it is complete."""
    picture = encoding.picture(info)
    if is_sequence(output):
        _write_images(piece, frames if picture.alpha else frames[..., :3], pattern(output).suffix, picture.depth)
        return
    size = int(frames.shape[1]), int(frames.shape[2])
    with VideoWriter(
        piece,
        size,
        range(len(frames)),
        1 / info.fps,
        fps=info.fps,
        crf=encoding.crf,
        picture=picture,
        codec=encoding.codec,
    ) as writer:
        writer.write(frames)


def join_chunks(
    pieces: Sequence[Path],
    output: Path,
    timeline: Timeline,
    info: VideoInfo,
    encoding: Encoding,
    notes: Mapping[str, str],
) -> None:
    """Make the output; a video appears under its name when it is complete.

    Args:
        notes: tags for the file; images get none.

    Raises:
        OutputError: when it cannot be written, or a piece is damaged.
    """
    if is_sequence(output):
        _place_images(pieces, pattern(output), numbers(info.path, len(timeline.timestamps)))
        return
    others = None if is_sequence(info.path) else info.path
    begin = round(info.origin / timeline.time_base)
    join(
        pieces,
        output,
        [time - begin for time in timeline.timestamps],
        timeline.time_base,
        info.fps,
        others,
        origin=info.origin,
        subtitles=encoding.subtitles,
        notes=notes,
    )


def _write_images(piece: Path, frames: Tensor, suffix: str, depth: int) -> None:
    partial = piece.with_name(f"{piece.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    with explain_write_errors(piece):
        partial.mkdir()
        try:
            for number, frame in enumerate(frames):
                write_image(partial / f"{number:06d}{suffix}", frame, depth)
            partial.replace(piece)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def count_chunk_frames(piece: Path) -> int:
    """How many frames a finished piece holds; 0 when it is damaged."""
    if piece.is_dir():
        return len(list(piece.iterdir()))
    try:
        return len(display_order(piece))
    except (av.error.FFmpegError, OSError, IndexError):
        return 0


def _place_images(pieces: Sequence[Path], target: Path, numbers: Sequence[int]) -> None:
    """Copies, so that a run that is stopped here can do it again; where the disk allows, without taking space."""
    images = [image for piece in pieces for image in sorted(piece.iterdir())]
    with explain_write_errors(target):
        for image, number in zip(images, numbers, strict=True):
            placed = target.with_name(name(target, number))
            placed.unlink(missing_ok=True)
            try:
                os.link(image, placed)
            except OSError:
                shutil.copyfile(image, placed)
