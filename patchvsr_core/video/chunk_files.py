"""Files of finished chunks of a long job: encoded videos or folders of images, joined at the end."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from ..errors import OutputError
from ..files import commit_folder
from ..plan.target_size import target_pixel_aspect
from .audio import AUTO
from .encoders import CRF
from .info import VideoInfo
from .picture import Picture
from .reader import Timeline
from .remux import check_container, join
from .sequence import is_sequence, name, numbers, pattern, write_image
from .writer import VideoWriter, explain_write_errors

log = logging.getLogger("patchvsr")
HDR_DEPTH = 10
IMAGES = ".images"
"""Suffix of a chunk that is a folder of images."""


@dataclass(frozen=True)
class Encoding:
    """Encoding options of the output; the defaults follow the input."""

    crf: int = CRF
    codec: str | None = None
    """See :data:`encoders.CODECS`; None for the usual one of the container."""
    depth: int | None = None
    """8 or 10 bits; None for the input's."""
    alpha: bool = True
    """Keep transparency."""
    subtitles: bool = True
    """Copy subtitles and fonts."""
    audio: str = AUTO
    """One of :data:`audio.CHOICES`."""

    def picture(self, info: VideoInfo, size: tuple[int, int] | None = None) -> Picture:
        """The pixel format, colour tags and pixel aspect of an output of (height, width); None: as the input."""
        found = info.picture
        source = info.height, info.width
        aspect = target_pixel_aspect(source, size or source, found.pixel_aspect)
        depth = self.depth or (max(found.depth, HDR_DEPTH) if found.is_hdr else found.depth)
        light = replace(found.light, dynamic="")
        return replace(found, alpha=found.alpha and self.alpha, depth=depth, pixel_aspect=aspect, light=light)


def check_output(output: Path, size: tuple[int, int], info: VideoInfo, encoding: Encoding) -> None:
    """Raise before the work starts when the output cannot be written.

    Raises:
        OutputError: when the format does not support the video, the audio or the subtitles.
    """
    picture = encoding.picture(info, size)
    if picture.pixel_aspect not in (1, info.picture.pixel_aspect):
        log.warning(
            "Pixels of %s are %d:%d, so that it is displayed in the shape of the input.",
            output.name,
            *picture.pixel_aspect.as_integer_ratio(),
        )
    if info.picture.light.dynamic:
        log.warning(
            "The %s metadata of %s is dropped; its base layer is upscaled.", info.picture.light.dynamic, info.path.name
        )
    if is_sequence(output):
        if picture.is_hdr:
            raise OutputError("The input is HDR, which images do not hold here; write to .mp4, .mov, .mkv or .webm.")
    else:
        check_container(
            output,
            size,
            info,
            picture=picture,
            codec=encoding.codec,
            crf=encoding.crf,
            subtitles=encoding.subtitles,
            audio=encoding.audio,
        )


def chunk_suffix(output: Path) -> str:
    """The suffix of chunk files; it decides for the whole run whether they are images or videos."""
    return IMAGES if is_sequence(output) else output.suffix


def keeps_premultiplied(output: Path, picture: Picture) -> bool:
    """Whether colours of an EXR with transparency stay multiplied by alpha: where they become one, or lose alpha.

    Args:
        picture: of the output.
    """
    is_exr = is_sequence(output) and pattern(output).suffix.lower() == ".exr"
    return picture.is_premultiplied and (is_exr or not picture.alpha)


def write_chunk(chunk_file: Path, frames: Tensor, output: Path, info: VideoInfo, encoding: Encoding) -> None:
    """Encode (T, H, W, C) frames; the file gets its name only when it is complete."""
    size = int(frames.shape[1]), int(frames.shape[2])
    write_frames(chunk_file, frames, len(frames), size, output, info, encoding)


def write_frames(
    chunk_file: Path,
    frames: Iterable[Tensor],
    count: int,
    size: tuple[int, int],
    output: Path,
    info: VideoInfo,
    encoding: Encoding,
) -> None:
    """As :func:`write_chunk` for ``count`` frames of (height, width) ``size`` that come one by one."""
    picture = encoding.picture(info, size)
    if chunk_file.suffix == IMAGES:
        _write_images(chunk_file, frames, pattern(output).suffix, picture)
        return
    with VideoWriter(
        chunk_file,
        size,
        range(count),
        1 / info.fps,
        fps=info.fps,
        crf=encoding.crf,
        picture=picture,
        codec=encoding.codec,
    ) as writer:
        writer.write(frames)


def join_chunks(
    chunk_files: Sequence[Path],
    output: Path,
    timeline: Timeline,
    info: VideoInfo,
    encoding: Encoding,
    notes: Mapping[str, str],
    size: tuple[int, int] | None = None,
) -> None:
    """Join chunks into the output; a video gets its name only when it is complete.

    Args:
        notes: metadata tags of the file; ignored for images.
        size: (height, width) of the result; None: the input's.

    Raises:
        OutputError: when it cannot be written, or a chunk is damaged.
    """
    if chunk_files[0].suffix == IMAGES:
        _place_images(chunk_files, pattern(output), image_numbers(info, timeline))
        return
    others = None if is_sequence(info.path) else info.path
    first = timeline.timestamps[0] * timeline.time_base
    origin = min(info.origin, first) if info.section.begin is None else first  # MP4 does not show what is before 0
    begin = round(origin / timeline.time_base)
    join(
        chunk_files,
        output,
        [time - begin for time in timeline.timestamps],
        timeline.time_base,
        info.fps,
        others,
        origin=origin,
        section=info.section,
        last_duration=timeline.last_duration,
        clock=timeline.clock,
        subtitles=encoding.subtitles,
        audio=encoding.audio,
        picture=encoding.picture(info, size),
        notes=notes,
    )


def image_numbers(info: VideoInfo, timeline: Timeline) -> list[int]:
    """The numbers that name the images of a result."""
    first, _ = info.section.units(info.time_base)
    return numbers(info.path, len(timeline.timestamps), first or 0)


def _write_images(chunk_file: Path, frames: Iterable[Tensor], suffix: str, picture: Picture) -> None:
    partial = chunk_file.with_name(f"{chunk_file.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    with explain_write_errors(chunk_file):
        partial.mkdir()
        try:
            for number, frame in enumerate(frames):
                shown = frame if picture.alpha else frame[..., :3]
                write_image(
                    partial / f"{number:06d}{suffix}",
                    shown,
                    picture.depth,
                    picture.pixel_aspect,
                    is_premultiplied=picture.is_premultiplied,
                )
            commit_folder(partial, chunk_file)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _place_images(chunk_files: Sequence[Path], target: Path, numbers: Sequence[int]) -> None:
    """Hard-link or copy images, so that an interrupted run can do it again."""
    images = [image for chunk_file in chunk_files for image in sorted(chunk_file.iterdir())]
    with explain_write_errors(target):
        for image, number in zip(images, numbers, strict=True):
            placed = target.with_name(name(target, number))
            placed.unlink(missing_ok=True)
            try:
                os.link(image, placed)
            except OSError:
                shutil.copyfile(image, placed)
