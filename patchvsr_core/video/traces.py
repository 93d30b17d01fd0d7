"""Traces of losses in the bytes of a file, near a place where frames seem to be missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SYNC = 0x47
"""First byte of a packet of a transport stream (ISO 13818-1)."""
PACKET_BYTES = (188, 192, 204)
"""Plain, with a time (M2TS), with error correction."""
MOST_BYTES = 2**24
"""Of a transport stream that are looked at."""
BLOCK_HEADER = 4
"""Bytes of the number of a track, a time and flags."""
MOST_STRIPPED = 8
MATROSKA_END = {
    *(b"\x1c\x53\xbb\x6b", b"\x12\x54\xc3\x67", b"\x11\x4d\x9b\x74", b"\x19\x41\xa4\x69", b"\x10\x43\xa7\x70"),
    *(b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b", b"\xec", b"\xbf", b"\x9b", b"\xfb", b"\x75\xa1", b"\x75\xa2"),
}
"""What may follow the last block: index, tags, seek head, attachments, chapters, other headers, and its own details."""


def unread_matroska(path: Path, last_block: int, size: int) -> int:
    """Bytes after the last frame that was read which are no part of a Matroska file's end.

    Args:
        last_block, size: the position of its block, and its bytes.
    """
    length = path.stat().st_size
    after = last_block + BLOCK_HEADER + size
    with path.open("rb") as file:
        # less than a frame's bytes are stored where its header is stripped, more where the track has a large number
        is_end = any(_is_end(file, at, length) for at in range(after - MOST_STRIPPED, after + 2))
    return 0 if is_end else max(0, length - after)


def _is_end(file: BinaryIO, at: int | None, length: int) -> bool:
    """Whether what ends a Matroska file, and nothing else, stands between a position and the end."""
    while at is not None and at < length:
        file.seek(at)
        head = file.read(4)
        if not any(head.startswith(known) for known in MATROSKA_END):
            return False
        at = _after_element(file, at)
    return at == length


def _after_element(file: BinaryIO, at: int) -> int | None:
    """Where the element after the one at a position begins (RFC 8794)."""
    file.seek(at)
    head = file.read(12)
    if not head or not head[0]:
        return None
    id_bytes = 9 - head[0].bit_length()
    if len(head) <= id_bytes or not head[id_bytes]:
        return None
    size_bytes = 9 - head[id_bytes].bit_length()
    size = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & ~(1 << (7 * size_bytes))
    return at + id_bytes + size_bytes + int(size)


def is_broken_transport(path: Path, begin: int, end: int) -> bool:
    """Whether packets of a transport stream are lost or garbled between two positions of packets."""
    counters: dict[int, int] = {}
    for sync, high, low, control, *_ in _transport_packets(path, begin, end):
        if sync != SYNC:
            return True
        stream, counter = (high & 0x1F) << 8 | low, control & 0xF
        if control & 0x10 and stream != 0x1FFF:
            if stream in counters and counter not in (counters[stream], (counters[stream] + 1) % 16):
                return True
            counters[stream] = counter
    return False


def begins_anew(path: Path, begin: int, end: int) -> bool:
    """Whether another recording begins between two positions of a transport stream.

    Its packets are counted anew, or flagged as discontinuous.
    """
    flagged = (
        control & 0x20 and length and flags & 0x80
        for _, _, _, control, length, flags in _transport_packets(path, begin, end)
    )
    return any(flagged) or is_broken_transport(path, begin, end)


def _transport_packets(path: Path, begin: int, end: int) -> Iterator[bytes]:
    """The first bytes of packets from one position to another, that of the second one among them."""
    with path.open("rb") as file:
        file.seek(begin)
        data = file.read(min(end - begin, MOST_BYTES) + max(PACKET_BYTES))
    step = max(PACKET_BYTES, key=lambda size: sum(byte == SYNC for byte in data[::size]))
    offset = 4 if step == 192 and data[:1] != bytes([SYNC]) else 0
    for at in range(offset, len(data) - 5, step):
        yield data[at : at + 6]
