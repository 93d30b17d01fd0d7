"""What HDR video says about its light: transfer curves, mastering display, content light levels.

Frames of PQ and HLG are upscaled as they are coded, in their own curve. Chunks have the static metadata in their
bitstream (HEVC, AV1), joined files in the container too.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av

from .local_files import local_url
from .matroska import ebml, with_colour_elements
from .side_data import read_side_data

PQ, HLG = TRANSFERS = (16, 18)
"""AVCOL_TRC_SMPTE2084 and AVCOL_TRC_ARIB_STD_B67."""
CHROMATICITY, LUMINANCE = 50000, 10000
"""Units of SMPTE ST 2086 in HEVC and MP4."""
DOLBY_VISION = "Dolby Vision"
DYNAMIC = {"DOVI_METADATA": DOLBY_VISION, "DOVI_RPU_BUFFER": DOLBY_VISION, "DYNAMIC_HDR_PLUS": "HDR10+"}
"""By the names of libav's side data."""


@dataclass(frozen=True)
class LightMetadata:
    """Static metadata of HDR video, and the name of what it has of dynamic metadata."""

    display: tuple[int, ...] | None = None
    """x and y of red, green, blue and white, then least and most luminance, in the units of ST 2086."""
    levels: tuple[int, int] | None = None
    """MaxCLL and MaxFALL, cd/m2 (CTA-861.3)."""
    dynamic: str = ""
    """Dolby Vision or HDR10+."""

    @property
    def is_static(self) -> bool:
        """Whether there is any static metadata."""
        return self.display is not None or self.levels is not None


def read_light_metadata(frame: av.VideoFrame) -> LightMetadata:
    """The metadata of a decoded frame, which has that of its container too."""
    found = read_side_data(frame)
    display, levels = found.get("MASTERING_DISPLAY_METADATA"), found.get("CONTENT_LIGHT_LEVEL")
    dynamic = next((DYNAMIC[name] for name in found if name in DYNAMIC), "")
    light = None if levels is None else struct.unpack("=2I", levels[:8])
    return LightMetadata(None if display is None else _display(display), light and (light[0], light[1]), dynamic)


def _display(data: bytes) -> tuple[int, ...] | None:
    """From AVMasteringDisplayMetadata: ten rationals, and whether the primaries and the luminance are known."""
    *numbers, has_primaries, has_luminance = struct.unpack("=22i", data[:88])
    if not (has_primaries and has_luminance):
        return None
    units = [CHROMATICITY] * 8 + [LUMINANCE] * 2
    pairs = zip(numbers[::2], numbers[1::2], units, strict=True)
    return tuple(round(Fraction(above, below or 1) * unit) for above, below, unit in pairs)


def x265_parameters(light: LightMetadata) -> str:
    """For libx265's ``x265-params``, each with a colon before it."""
    parameters = ":hdr10=1:repeat-headers=1" if light.is_static else ""
    if light.display:
        rx, ry, gx, gy, bx, by, wx, wy, least, most = light.display
        parameters += f":master-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({most},{least})"
    return parameters + (":max-cll={},{}".format(*light.levels) if light.levels else "")


def svt_parameters(light: LightMetadata) -> str:
    """For libsvtav1's ``svtav1-params``."""
    parameters = []
    if light.display:
        rx, ry, gx, gy, bx, by, wx, wy = (number / CHROMATICITY for number in light.display[:8])
        least, most = (number / LUMINANCE for number in light.display[8:])
        display = f"G({gx:.5f},{gy:.5f})B({bx:.5f},{by:.5f})R({rx:.5f},{ry:.5f})WP({wx:.5f},{wy:.5f})"
        parameters.append(f"mastering-display={display}L({most:.4f},{least:.4f})")
    if light.levels:
        parameters.append("content-light={},{}".format(*light.levels))
    return ":".join(parameters)


def template_with(segment: Path, light: LightMetadata) -> io.BytesIO:
    """A Matroska file of one packet in memory, whose stream is that of a segment with the metadata in its header.

    PyAV cannot add side data to a stream, but copies that of a template.
    """
    memory = io.BytesIO()
    with av.open(local_url(segment)) as source:
        stream = source.streams.video[0]
        with av.open(memory, "w", format="matroska", options={"fflags": "+bitexact"}) as target:
            copy = target.add_stream_from_template(stream, opaque=True)
            for packet in islice((packet for packet in source.demux(stream) if packet.pts is not None), 1):
                packet.stream = copy
                target.mux(packet)
    return io.BytesIO(with_colour_elements(memory.getvalue(), _elements(light)))


def _elements(light: LightMetadata) -> bytes:
    """Mastering metadata and light levels as Matroska's Colour has them (RFC 9559, 5.1.4.1.28.30 and after)."""
    elements = b""
    if light.display:
        *colors, least, most = light.display
        numbers = [*(color / CHROMATICITY for color in colors), most / LUMINANCE, least / LUMINANCE]
        found = [ebml(0x55D1 + index, struct.pack(">d", number)) for index, number in enumerate(numbers)]
        elements += ebml(0x55D0, b"".join(found))
    if light.levels:
        elements += b"".join(ebml(0x55BC + index, struct.pack(">I", level)) for index, level in enumerate(light.levels))
    return elements
