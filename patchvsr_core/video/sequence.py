"""Image sequences: a folder, or a pattern such as ``shot/frame_%05d.png``, used like a file."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.video.frame import VideoFrame
from torch import Tensor

from ..errors import MediaError, OutputError
from ..srgb import to_linear
from .linear import LARGEST_HALF, to_premultiplied
from .swscale import convert

MOST_MISSING = 10_000
"""In a row."""
IMAGES = {".png", ".exr", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".bmp"}
NUMBER = re.compile(r"%0?\d*d")
DEFAULT_NAME = "frame_%05d.png"


def is_sequence(path: Path) -> bool:
    """Whether a path is an image sequence."""
    is_pattern = path.suffix.lower() in IMAGES and bool(NUMBER.search(path.name)) and not path.is_file()
    return is_pattern or path.is_dir()


def images(path: Path, kind: str = "") -> list[Path]:
    """List the images of a folder or pattern, in the order of their numbers.

    Args:
        kind: suffix of the images, others are skipped; "" for any.

    Raises:
        MediaError: when there are none.
    """
    folder = path if path.is_dir() else path.parent
    kinds = {kind} if kind else IMAGES
    files = [file for file in (folder.iterdir() if folder.is_dir() else ()) if file.suffix.lower() in kinds]
    if NUMBER.search(path.name):
        found = [file for file in files if is_named(file, path.name)]
    else:
        found = [file for file in files if not file.name.startswith(".")]
    if not found and kind:
        raise MediaError(f"There is no {kind} file in {path}; choose a folder or a pattern with such files.")
    if not found:
        raise MediaError(f"There is no image in {path}; choose a folder with .png or .exr files, or a video file.")
    suffixes = {file.suffix.lower() for file in found}
    if len(suffixes) > 1:
        raise MediaError(
            f"{folder} has {' and '.join(sorted(suffixes))} files; choose some with a pattern such as frame_%05d.png."
        )
    return sorted(found, key=_order)


def first_image(path: Path) -> tuple[Path, int]:
    """(first image, number of images) of a sequence."""
    found = images(path)
    return found[0], len(found)


def numbers(path: Path, count: int, first: int = 0) -> list[int]:
    """The numbers that name the output images: those of the input sequence, or from 1 where it has none.

    Args:
        first: which image of the sequence the first one is made of.
    """
    whole = images(path) if is_sequence(path) else []
    own = _own_numbers(whole, path)
    return own[first : first + count] if whole and len({*own}) == len(whole) else list(range(1, count + 1))


def number_of(image: Path, path: Path) -> int | None:
    """The number of an image: the one that the pattern matches, or the last one in the name for a folder."""
    if NUMBER.search(path.name):
        return int(_matched(image, path.name)[1])
    digits = re.findall(r"\d+", image.stem)
    return int(digits[-1]) if digits else None


def _own_numbers(found: Sequence[Path], path: Path) -> list[int]:
    """Of the images that have one."""
    return [number for image in found if (number := number_of(image, path)) is not None]


def missing_numbers(path: Path, chosen: Sequence[Path] | None = None) -> list[int]:
    """The numbers that are left out between the first image and the last one, of all or of those chosen.

    A constant step, as of every second frame of a render, leaves nothing out. None are missing either where numbers do
    not count frames: where they do not rise with the names, most steps differ, as of times of the day, or one leads
    elsewhere, as from one take to another.
    """
    found = images(path) if chosen is None else chosen
    own = _own_numbers(found, path)
    steps = [after - before for before, after in itertools.pairwise(own)]
    if len(own) < len(found) or not steps or min(steps) < 1:
        return []
    step = math.gcd(*steps)
    if 2 * steps.count(step) < len(steps) or max(steps) > MOST_MISSING * step:
        return []
    return sorted({*range(own[0], own[-1], step)} - {*own})


def pattern(path: Path) -> Path:
    """The pattern of output images; the default one for a folder."""
    return path if NUMBER.search(path.name) else path / DEFAULT_NAME


def folder_of(path: Path) -> Path:
    """The folder of a file or an image sequence."""
    return pattern(path).parent if is_sequence(path) else path.parent


def name(pattern: Path, number: int) -> str:
    """The file name of an image."""
    return NUMBER.sub(lambda found: found[0] % number, pattern.name, count=1)


def check_no_stale_images(output: Path, new: Sequence[int]) -> None:
    """Raise when images of a longer result would stay between or after the new ones.

    Args:
        new: numbers of the images to write, which replace those of the same name.

    Raises:
        OutputError: with the first of the others.
    """
    target = pattern(output)
    replaced = {name(target, number) for number in new}
    found = target.parent.iterdir() if target.parent.is_dir() else ()
    stale = sorted(file.name for file in found if is_named(file, target.name) and file.name not in replaced)
    if stale:
        raise OutputError(
            f"{target.parent} has images of another result that this one would not replace, such as {stale[0]}; delete "
            "them or choose another folder."
        )


def write_image(
    path: Path,
    frame: Tensor,
    depth: int = 16,
    pixel_aspect: Fraction = Fraction(1),
    *,
    is_premultiplied: bool = False,
) -> None:
    """Write (H, W, 3 or 4) as PNG or, in linear light and multiplied by alpha, as half-float EXR.

    Args:
        depth: above 8, a PNG gets 16 bits.
        pixel_aspect: width of a pixel over its height.
        is_premultiplied: whether the colours for an EXR are multiplied by alpha already.
    """
    kind = image_kind(path, depth, is_premultiplied=is_premultiplied)
    has_alpha = frame.shape[-1] == 4
    picture = VideoFrame.from_ndarray(kind.pixels(frame), format=kind.given[has_alpha])
    picture = convert(picture, format=kind.coded[has_alpha])
    context = av.CodecContext.create(kind.codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = picture.width, picture.height, picture.format.name
    context.time_base = Fraction(1)
    if pixel_aspect != 1:
        context.sample_aspect_ratio = pixel_aspect
    context.options = kind.options
    path.write_bytes(b"".join(bytes(packet) for packet in [*context.encode(picture), *context.encode(None)]))


@dataclass(frozen=True)
class ImageKind:
    """An image format, as libav writes it."""

    codec: str
    given: tuple[str, str]
    """Pixel formats of the arrays, without and with alpha."""
    coded: tuple[str, str]
    pixels: Callable[[Tensor], np.ndarray]
    options: dict[str, str] = field(default_factory=dict)


def image_kind(path: Path, depth: int, *, is_premultiplied: bool = False) -> ImageKind:
    """The format of images with this name; see :func:`write_image`.

    Raises:
        OutputError: for an unsupported suffix.
    """
    suffix = path.suffix.lower()
    if suffix == ".exr":
        formats = ("gbrpf32le", "gbrapf32le")
        pixels = partial(_linear, is_premultiplied=is_premultiplied)
        return ImageKind("exr", formats, formats, pixels, {"compression": "zip16", "format": "half"})
    if suffix == ".png":
        if depth > 8:
            return ImageKind("png", ("rgb48le", "rgba64le"), ("rgb48be", "rgba64be"), partial(to_integers, depth=16))
        return ImageKind("png", ("rgb24", "rgba"), ("rgb24", "rgba"), partial(to_integers, depth=8))
    raise OutputError(f"Images of type {suffix or 'unknown'} cannot be written; use .png or .exr.")


def to_integers(frame: Tensor, depth: int) -> np.ndarray:
    """Quantise [0, 1] to 8 or 16 bits by rounding."""
    largest = 2**depth - 1
    kind = np.uint8 if depth == 8 else np.uint16
    return (frame.clamp(0, 1) * largest).round().cpu().numpy().astype(kind)


def _linear(frame: Tensor, is_premultiplied: bool) -> np.ndarray:
    """A frame as EXR has it: in linear light, no brighter than half-floats hold; alpha is linear as it is."""
    linear = torch.cat([to_linear(frame[..., :3].float()), frame[..., 3:].float()], -1)
    if frame.shape[-1] == 4 and not is_premultiplied:
        linear = to_premultiplied(linear)
    return linear.clamp(max=LARGEST_HALF).cpu().numpy()


def is_named(file: Path, pattern: str) -> bool:
    """Whether a file name matches a pattern such as ``frame_%05d.png``."""
    return _matched(file, pattern) is not None


def _matched(file: Path, pattern: str) -> Any:
    before, after = NUMBER.split(pattern, maxsplit=1)
    return re.fullmatch(re.escape(before) + r"(\d+)" + re.escape(after), file.name)


def _order(file: Path) -> list[tuple[bool, int, str]]:
    """Natural sort key: frame_2 comes before frame_10."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", file.name)]
