"""What PyAV cannot have written into Matroska's header: the display size, and metadata of HDR.

VP9, AV1 and ProRes keep no other shape of pixels than the display size. The muxer is given a name of the track that is
longer than it should be; its bytes are taken for the size, so that nothing outside of the track moves.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path

from ..errors import OutputError

SEGMENT, TRACKS, ENTRY, NAME, VIDEO, DISPLAY_UNIT, CRC = 0x18538067, 0x1654AE6B, 0xAE, 0x536E, 0xE0, 0x54B2, 0xBF
COLOUR = 0x55B0
DISPLAY_WIDTH, DISPLAY_HEIGHT, VOID = b"\x54\xb0\x84", b"\x54\xba\x84", b"\xec"
"""Identifiers of RFC 9559, the first two with a size of 4 bytes."""
SPARE = " (room for the display size)"
"""At the end of the track's name."""
HEADER_BYTES = 2**20


def display_size(size: tuple[int, int], pixel_aspect: Fraction) -> tuple[int, int]:
    """(width, height) of exactly the displayed shape, about as high as a picture of (height, width)."""
    shape = Fraction(size[1], size[0]) * pixel_aspect
    times = ceil(Fraction(size[0], shape.denominator))
    return shape.numerator * times, shape.denominator * times


def put_display_size(path: Path, size: tuple[int, int]) -> None:
    """Write a display size (width, height) in place of :data:`SPARE`, which ends the name of the video track.

    Raises:
        OutputError: when the header has none.
    """
    with path.open("r+b") as file:
        data = bytearray(file.read(HEADER_BYTES))
        before = len(data)
        try:
            _replace(data, size)
        except (StopIteration, IndexError, ValueError, OverflowError) as error:
            raise OutputError(
                f"The header of {path.name} cannot hold the shape of its pixels; write to .mp4."
            ) from error
        assert len(data) == before
        file.seek(0)
        file.write(data)


def ebml(identifier: int, body: bytes) -> bytes:
    """An element with a size of 8 bytes."""
    return identifier.to_bytes((identifier.bit_length() + 7) // 8, "big") + _size(len(body), 8) + body


def with_colour_elements(file: bytes, elements: bytes) -> bytes:
    """A Matroska file whose first video track has more elements in its Colour, which is made where it is missing.

    Positions that the file states of its parts are not moved.
    """
    data, parents = bytearray(file), [Element(0, 0, 0, len(file))]
    for wanted in (SEGMENT, TRACKS, ENTRY, VIDEO):
        parents.append(_find(data, wanted, parents[-1]))
    colour = next((found for found in _children(data, parents[-1]) if found.id == COLOUR), None)
    begin, end = (colour.begin, colour.end) if colour else (parents[-1].end, parents[-1].end)
    made = ebml(COLOUR, (file[colour.body : end] if colour else b"") + elements)
    for parent in reversed(parents[1:]):
        made = ebml(parent.id, file[parent.body : begin] + made + file[end : parent.end])
        begin, end = parent.begin, parent.end
    return file[:begin] + made + file[end:]


def _replace(data: bytearray, size: tuple[int, int]) -> None:
    """Shorten the track's name, move what comes after it, and put the size at the end of the video's element."""
    tracks = _find(data, TRACKS, _find(data, SEGMENT, Element(0, 0, 0, len(data))))
    entry = next(found for found in _children(data, tracks) if any(e.id == VIDEO for e in _children(data, found)))
    name, video = _find(data, NAME, entry), _find(data, VIDEO, entry)
    shown = bytes(data[name.body : name.end]).removesuffix(SPARE.encode())
    if len(shown) == name.end - name.body or video.begin < name.end:
        raise ValueError("no spare bytes")
    kept = bytes(data[name.begin : name.body - name.width]) + _size(len(shown), name.width) + shown if shown else b""
    freed = (name.end - name.begin) - len(kept)
    added = DISPLAY_WIDTH + size[0].to_bytes(4, "big") + DISPLAY_HEIGHT + size[1].to_bytes(4, "big")
    added += VOID + _size(freed - len(added) - 2, 1) + bytes(freed - len(added) - 2)
    for unit in (element for element in _children(data, video) if element.id == DISPLAY_UNIT):
        data[unit.body : unit.end] = bytes(unit.end - unit.body)  # pixels; the muxer writes "unknown"
    body = bytes(data[video.body : video.end]) + added
    head = bytes(data[video.begin : video.body - video.width]) + _size(len(body), video.width)
    data[name.begin : video.end] = kept + bytes(data[name.end : video.begin]) + head + body
    first = next(_children(data, tracks))
    if first.id == CRC:
        data[first.body : first.end] = zlib.crc32(data[first.end : tracks.end]).to_bytes(4, "little")


@dataclass(frozen=True)
class Element:
    """Where an EBML element is."""

    id: int
    begin: int
    body: int
    end: int
    width: int = 1
    """Bytes of its size."""


def _find(data: bytearray, wanted: int, parent: Element) -> Element:
    return next(found for found in _children(data, parent) if found.id == wanted)


def _children(data: bytearray, parent: Element) -> Iterator[Element]:
    at = parent.body
    while at < min(parent.end, len(data)):
        id_end = at + 9 - data[at].bit_length()
        width = 9 - data[id_end].bit_length()
        body = id_end + width
        size = int.from_bytes(data[id_end:body], "big") & ~(1 << 7 * width)
        yield Element(int.from_bytes(data[at:id_end], "big"), at, body, body + size, width)
        at = body + size


def _size(value: int, width: int) -> bytes:
    """A size of an element in a number of bytes.

    Raises:
        ValueError: when it needs more.
    """
    if not 0 <= value < (1 << 7 * width) - 1:
        raise ValueError(f"{value} does not fit into {width} bytes")
    return (value | 1 << 7 * width).to_bytes(width, "big")
