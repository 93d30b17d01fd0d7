"""Decodes single image files, and finds out whether they are whole: FFmpeg leaves out what is missing without a word.

Source: the OpenEXR documentation, "OpenEXR File Layout" (offset tables and chunks).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import av

from ..errors import MediaError
from .exr_layers import HEADER_BYTES, HEADER_START, MAGIC, attributes
from .info import opened, picture_stream
from .local_files import is_of_the_system

CAREFUL = {"err_detect": "explode"}
"""The decoder refuses what it would otherwise make up."""
TILED, SEVERAL_PARTS = 0x200, 0x1000
"""Flags beside the version of an EXR file."""
TYPES = {"scanlineimage": 4, "tiledimage": 16}
"""Bytes that say where a chunk lies, by the type of its part."""
ROWS = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
"""Rows of a chunk by the number of the compression."""


def decode_image(path: Path) -> tuple[av.VideoFrame, bool]:
    """(picture of an image file, whether the decoder missed a part of it; of an EXR see :func:`is_whole_exr`).

    Raises:
        MediaError: when nothing of it can be decoded.
    """
    frame = _decode(path, CAREFUL)
    if frame is not None:
        return frame, False
    frame = _decode(path, {})
    if frame is None:
        raise MediaError(f"{path.name} cannot be decoded as an image; render or copy it again.")
    return frame, True


def _decode(path: Path, options: dict[str, str]) -> av.VideoFrame | None:
    with opened(path) as container:
        stream = picture_stream(path, container)
        stream.codec_context.options = {**stream.codec_context.options, **options}
        try:
            return next(container.decode(stream), None)
        except av.error.FFmpegError as error:
            if is_of_the_system(error):
                raise
            return None


def is_whole_exr(path: Path) -> bool:
    """Whether all rows of an EXR file are there; True for other files, and for kinds that are not looked into.

    A program that was stopped leaves zeros in the table that says where the rows are; a copy that was cut off lacks
    the rows at the end.
    """
    with path.open("rb") as file:
        head = file.read(len(MAGIC))
        if head != MAGIC:
            return True
        head += file.read(HEADER_BYTES)
        try:
            table = _table(head)
        except (IndexError, KeyError, ValueError, struct.error):
            return True  # of another kind, or with a header that is too long; a broken one stops the decoder
        size = file.seek(0, 2)
        if table.end > size:
            return False
        file.seek(table.begin)
        offsets = struct.unpack(f"<{table.chunks}Q", file.read(table.end - table.begin))
        if min(offsets) < table.end or max(offsets) >= size:
            return False
        file.seek(max(offsets))
        return max(offsets) + table.chunk_bytes(file.read(24)) <= size


@dataclass(frozen=True)
class _Table:
    """Where the chunks of a file are listed."""

    begin: int
    chunks: int
    leads: tuple[int, ...]
    """Of each part, bytes of a chunk before its length."""
    is_numbered: bool
    """Whether chunks begin with the number of their part."""

    @property
    def end(self) -> int:
        return self.begin + 8 * self.chunks

    def chunk_bytes(self, begin: bytes) -> int:
        """How long the chunk is that begins so; more than any file where that cannot be read."""
        try:
            part = struct.unpack_from("<I", begin)[0] if self.is_numbered else 0
            lead = self.leads[part] + 4 * self.is_numbered
            return int(struct.unpack_from("<I", begin, lead)[0]) + lead + 4
        except (IndexError, struct.error):
            return 2**63


def _table(head: bytes) -> _Table:
    (version,) = struct.unpack_from("<I", head, len(MAGIC))
    at, parts, is_numbered = HEADER_START, [], bool(version & SEVERAL_PARTS)
    while head[at]:
        part = {}
        for name, value, end in attributes(head, at):
            part[name], at = value, end
        parts.append(part)
        at += 1  # a zero ends a part, another one the parts
        if not is_numbered:
            break
    usual = b"tiledimage" if version & TILED else b"scanlineimage"
    kinds = [part.get("type", usual).rstrip(b"\0").decode() for part in parts]
    chunks = sum(_chunks(part, kind) for part, kind in zip(parts, kinds, strict=True))
    return _Table(at + is_numbered, chunks, tuple(TYPES[kind] for kind in kinds), is_numbered)


def _chunks(part: dict[str, bytes], kind: str) -> int:
    """How many chunks a part has.

    Raises:
        KeyError: where that is not known.
    """
    if "chunkCount" in part:
        return int(struct.unpack("<I", part["chunkCount"])[0])
    left, top, right, bottom = struct.unpack("<4i", part["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    if kind == "scanlineimage":
        return -(-height // ROWS[part["compression"][0]])
    across, down, levels = struct.unpack("<IIB", part["tiles"])
    if levels & 15:
        raise KeyError(levels)
    return -(-width // across) * -(-height // down)
