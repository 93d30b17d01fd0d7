"""Animated pictures that FFmpeg cannot read, or reads wrongly."""

from __future__ import annotations

import struct
from pathlib import Path

PNG_HEADER, PNG_CHUNK = 33, 12
"""Bytes of the signature with the first chunk, and of a chunk beside its content."""


def is_animated_webp(path: Path) -> bool:
    """Whether the extended header of a WebP file has the animation flag (RFC 9649, 2.7)."""
    with path.open("rb") as file:
        head = file.read(21)
    return head[8:16] == b"WEBPVP8X" and len(head) == 21 and bool(head[20] & 2)


def is_misread_apng(path: Path) -> bool:
    """Whether an animated PNG has several pixels in a byte and frames that replace only a part of the picture.

    FFmpeg unpacks the pixels of such frames at the wrong place (seen from 5.1 to 8.0).
    """
    with path.open("rb") as file:
        header = file.read(PNG_HEADER)
        if len(header) < PNG_HEADER or header[24] >= 8:
            return False
        while len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            if kind == b"fcTL" and file.read(12)[4:] != header[16:24]:
                return True
            file.seek(size + 4 - 12 * (kind == b"fcTL"), 1)
    return False
