"""Detects truncated files from the length in bytes that containers declare."""

from __future__ import annotations

from pathlib import Path

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid", b"moof", b"mfra", b"sidx", b"styp", b"pnot"}
UNKNOWN = 0
"""An open-ended length, as in live recordings."""


def missing_bytes(path: Path) -> int:
    """Bytes that the container declares beyond the end of the file; 0 when complete or undeclared.

    Supports MP4 and MOV (ISO 14496-12), Matroska and WebM (RFC 9559), and AVI.
    """
    length = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] == b"RIFF":
            return max(0, 8 + int.from_bytes(start[4:8], "little") - length)
        if start[:4] == EBML:
            return max(0, _matroska_end(path) - length)
        end = 0
        while end + 8 <= length:
            file.seek(end)
            header = file.read(16)
            if header[4:8] not in BOXES:
                return 0
            size = int.from_bytes(header[:4], "big")
            size = int.from_bytes(header[8:16], "big") if size == 1 else size
            if size == UNKNOWN:
                return 0
            end += max(size, 8)
    return max(0, end - length)


def _matroska_end(path: Path) -> int:
    """End of the segment; 0 when it is open-ended."""
    with path.open("rb") as file:
        head = file.read(4096)
    at = head.find(SEGMENT)
    if at < 0:
        return 0
    first = head[at + 4]
    width = 9 - first.bit_length()
    size = int.from_bytes(head[at + 4 : at + 4 + width], "big") & ~(1 << (7 * width))
    is_open = size == (1 << (7 * width)) - 1
    return 0 if is_open else at + 4 + width + size
