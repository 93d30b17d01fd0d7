"""Pixel format and colours of a video, as players take them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from .hdr import TRANSFERS, LightMetadata, read_light_metadata
from .swscale import convert

HD_SIZE = (1280, 576)
"""Untagged video of at least this width, or more than this height, is BT.709, smaller BT.601, as players assume."""
RGB, BT709, UNKNOWN, BT470BG, SMPTE170M, BT2020 = 0, 1, 2, 5, 6, 9
"""AVCOL_SPC_*; BT470BG and SMPTE170M are BT.601."""
SWS_COLORSPACE = {BT709: 1, 4: 4, BT470BG: 5, SMPTE170M: 5, 7: 7, 9: 9}
"""swscale's numbers for the matrices that it supports; one for both of BT.601."""
FULL_RANGE = 2
"""AVCOL_RANGE_JPEG."""
PALETTE = "pal8"
ANIMATED = ("gif", "apng")
"""Codecs whose frames are decoded with transparency although few files have any."""
FLOAT_DEPTH = 32


@dataclass(frozen=True)
class Picture:
    """Pixel format and colour tags of a video; numbers are libav's (ISO 23091-2)."""

    depth: int = 8
    """Bits per component; 32 is floating point."""
    alpha: bool = False
    matrix: int = BT709
    primaries: int = BT709
    transfer: int = BT709
    full_range: bool = False
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel over its height."""
    light: LightMetadata = field(default=LightMetadata())
    is_premultiplied: bool = False
    """Whether the input's colours are multiplied by alpha, as in EXR."""

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer curve is PQ or HLG."""
        return self.transfer in TRANSFERS


def read_picture(container: InputContainer, stream: VideoStream, first: av.VideoFrame | None) -> Picture:
    """Read pixel format and colours, from the first frame where possible, as headers are not always right."""
    context = stream.codec_context
    layout = context.format if first is None else first.format
    components = layout.components if layout else ()
    depth = FLOAT_DEPTH if layout and is_float(layout) else max((c.bits for c in components), default=8)
    alpha = _has_alpha(container, stream, first) or alpha_decoder(stream) is not None
    pixel_aspect = stream.sample_aspect_ratio or Fraction(1)
    light = LightMetadata() if first is None else read_light_metadata(first)
    plain = Picture(
        depth=depth,
        alpha=alpha,
        pixel_aspect=pixel_aspect,
        light=light,
        is_premultiplied=alpha and depth == FLOAT_DEPTH,
    )
    if (layout and layout.is_rgb) or context.colorspace == RGB:
        if context.color_trc not in TRANSFERS:
            return plain
        return replace(plain, matrix=BT2020, primaries=context.color_primaries, transfer=context.color_trc)
    matrix = assumed_matrix(context.colorspace, stream.width, stream.height)
    tags = (context.color_primaries, context.color_trc)
    primaries, transfer = (BT709, BT709) if tags == (UNKNOWN, UNKNOWN) and matrix == BT709 else tags
    full = context.color_range == FULL_RANGE or (layout is not None and layout.name.startswith("yuvj"))
    return replace(plain, matrix=matrix, primaries=primaries, transfer=transfer, full_range=full)


def _has_alpha(container: InputContainer, stream: VideoStream, first: av.VideoFrame | None) -> bool:
    """Whether some pixel is transparent, where a format has transparency that its pictures need not have."""
    layout = stream.codec_context.format if first is None else first.format
    if layout is None or not may_have_alpha(layout) or stream.codec_context.name == "mjpeg":  # of CMYK it is opaque
        return False
    is_animated = stream.codec_context.name in ANIMATED
    if layout.name == PALETTE and not is_animated:
        return first is not None and _is_transparent(first)
    if not is_animated or first is None:
        return True
    try:
        return _is_transparent(first) or any(map(_is_transparent, container.decode(stream)))
    except av.error.FFmpegError:
        return True  # full decoding reports what is wrong


def _is_transparent(frame: av.VideoFrame) -> bool:
    return bool(convert(frame, format="rgba").to_ndarray()[..., 3].min() < 255)


def may_have_alpha(layout: av.VideoFormat) -> bool:
    """Whether a pixel format has transparency, as a palette may."""
    return layout.name == PALETTE or any(component.is_alpha for component in layout.components)


def is_float(layout: av.VideoFormat) -> bool:
    """Whether a pixel format has floating-point numbers."""
    return "f16" in layout.name or "f32" in layout.name


def assumed_matrix(declared: int, width: int, height: int) -> int:
    """The declared matrix, or the one that players assume where it is missing or unsupported."""
    if declared in SWS_COLORSPACE:
        return declared
    is_hd = width >= HD_SIZE[0] or height > HD_SIZE[1]
    return BT709 if is_hd or declared != UNKNOWN else SMPTE170M


def alpha_decoder(stream: VideoStream) -> av.VideoCodecContext | None:
    """A decoder of WebM's alpha plane, which only libvpx decodes; None where there is none."""
    has_alpha = any(name.lower() == "alpha_mode" and value == "1" for name, value in stream.metadata.items())
    decoder = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if not has_alpha or decoder is None:
        return None
    context = av.CodecContext.create(decoder, "r")
    assert isinstance(context, av.VideoCodecContext)
    return context
