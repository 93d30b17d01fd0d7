"""Chooses the encoder of a video and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutputError, phrase
from .hdr import svt_parameters, x265_parameters
from .picture import RGB, Picture

CRF = 16
CRF_RANGE = (0, 51)
"""Default quality: visually almost lossless."""


@dataclass(frozen=True)
class Encoder:
    """Settings of one encoder."""

    codec: str
    pix_fmt: str
    options: Mapping[str, str]

    @property
    def is_rgb(self) -> bool:
        return self.pix_fmt.startswith(("bgr", "gbr"))


@dataclass(frozen=True)
class _Codec:
    library: str
    suffixes: tuple[str, ...]
    depths: tuple[int, ...] = (8, 10)
    alpha: bool = False


CODECS = {
    "h264": _Codec("libx264", (".mp4", ".mov", ".mkv")),
    "hevc": _Codec("libx265", (".mp4", ".mov", ".mkv")),
    "av1": _Codec("libsvtav1", (".mp4", ".mkv", ".webm")),
    "vp9": _Codec("libvpx-vp9", (".webm", ".mkv"), depths=(8,), alpha=True),
    "prores": _Codec("prores_ks", (".mov", ".mkv"), depths=(10,), alpha=True),
    "ffv1": _Codec("ffv1", (".mkv",), alpha=True),
}
"""Codecs by their user-facing names; ffv1 is lossless."""
HDR_CODECS = ("hevc", "av1", "prores", "ffv1")
FILMS = (".mp4", ".mov")
"""Containers of the QuickTime family."""
SUFFIXES = (*FILMS, ".mkv", ".webm")
SVT_SIDE = 64
"""SVT-AV1 reads outside its buffers with smaller pictures, which can end the process (seen up to 640x18)."""
X265_WIDTH = 64
"""x265's coding tree writes behind its buffers with pictures of up to 48 columns; it stays off below this width."""


def choose_encoder(path: Path, size: tuple[int, int], picture: Picture, codec: str | None, crf: int) -> Encoder:
    """Choose the encoder for a file.

    Args:
        path: its suffix is the container.
        size: (height, width).
        picture: depth and transparency to keep.
        codec: a name in ``CODECS``; None for the best fit to container, depth and transparency.
        crf: constant rate factor; lower is better and larger. Ignored by ProRes and FFV1.

    Raises:
        OutputError: when the container or codec does not support it.
    """
    suffix = path.suffix.lower()
    name = codec or _usual(suffix, picture)
    kind = CODECS[name]
    if picture.is_hdr and name not in HDR_CODECS:
        raise OutputError(f"The input is HDR, which {name} does not support here; use {', '.join(HDR_CODECS)}.")
    if picture.is_hdr and picture.depth < 10:
        raise OutputError("The input is HDR, which needs 10 bits", flag="leave out --depth 8")
    if suffix not in kind.suffixes:
        raise OutputError(f"{name} is not supported in {suffix} files; write to {phrase(' or ').join(kind.suffixes)}.")
    if picture.alpha and not kind.alpha:
        raise OutputError(
            f"The input has transparency, which {name} in a {suffix} file does not support",
            flag="write to .mov (ProRes), .webm (VP9) or a folder of images, or use --no-alpha",
            node="set format to mov (ProRes) or webm (VP9), or turn keep_alpha off",
        )
    depth = min(kind.depths, key=lambda d: abs(d - min(picture.depth, 10)))
    if codec and picture.depth in (8, 10) and depth != picture.depth and name != "prores" and not picture.alpha:
        raise OutputError(
            f"{name} does not support {picture.depth} bits here",
            flag=f"use --depth {depth}, or another codec",
            node="choose another codec",
        )
    is_odd = bool(size[0] % 2 or size[1] % 2)
    if name == "av1" and is_odd:
        raise OutputError(f"AV1 needs even dimensions, not {size[1]}x{size[0]}; choose another size or codec.")
    if name == "av1" and min(size) < SVT_SIDE:
        raise OutputError(
            f"AV1 needs at least {SVT_SIDE}x{SVT_SIDE} pixels, not {size[1]}x{size[0]}; choose another size or codec."
        )
    options = _options(name, crf, picture, size[1])
    return Encoder(kind.library, _pixel_format(name, depth, picture.alpha, is_odd), options)


def tags(encoder: Encoder, picture: Picture) -> tuple[int, int]:
    """(matrix, range) tags of the encoded file."""
    if encoder.is_rgb:
        return RGB, 2
    return picture.matrix, 2 if picture.full_range else 1


def _usual(suffix: str, picture: Picture) -> str:
    if suffix == ".webm":
        return "av1" if (picture.depth > 8 or picture.is_hdr) and not picture.alpha else "vp9"
    if picture.alpha:
        return {".mov": "prores", ".mkv": "ffv1"}.get(suffix, "h264")
    return "hevc" if picture.is_hdr else "h264"


def _pixel_format(name: str, depth: int, alpha: bool, is_odd: bool) -> str:
    if name == "ffv1":
        return {(8, False): "bgr0", (8, True): "bgra", (10, False): "gbrp10le", (10, True): "gbrap10le"}[depth, alpha]
    sampling = "420"
    if name == "prores":
        sampling = "444" if alpha or is_odd else "422"
    elif is_odd and name != "vp9":
        sampling = "444"
    return f"yuv{'a' * alpha}{sampling}p{'10le' * (depth == 10)}"


def _options(name: str, crf: int, picture: Picture, width: int) -> dict[str, str]:
    quality, light = {"crf": str(crf)}, svt_parameters(picture.light)
    x265 = f"log-level=error{x265_parameters(picture.light)}{':cutree=0' * (width < X265_WIDTH)}"
    return {
        # x264's macroblock tree reads uninitialised memory, which makes encodes non-deterministic.
        "h264": {**quality, "x264-params": "mbtree=0"},
        "hevc": {**quality, "x265-params": x265},
        "av1": {**quality, "preset": "6", **({"svtav1-params": light} if light else {})},
        "vp9": {**quality, "b": "0", "row-mt": "1"},
        "prores": {"profile": "4" if picture.alpha else "3", "vendor": "apl0"},
        "ffv1": {"level": "3", "slicecrc": "1"},
    }[name]
