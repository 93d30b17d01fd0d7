"""Parses target sizes."""

from __future__ import annotations

import re
from fractions import Fraction

from ..errors import PlanError

SCALE = 4
"""Of the networks that upscale at once: the restorer, DAP and RDG. Other sizes are resampled from theirs."""
MAX_SIDE = 16384
MAX_SCALE = 16.0
FORMATS = {"720p": (1280, 720), "1080p": (1920, 1080), "1440p": (2560, 1440), "4K": (3840, 2160), "8K": (7680, 4320)}
"""(width, height) of screens by name; a clip fills the one or the other side, upright ones the turned screen."""
CUSTOM = "custom"
FACTORS = {"2x": 2.0, "3x": 3.0, "4x": 4.0}
TARGETS = (CUSTOM, *FACTORS, *FORMATS)
"""What a result can be asked to be; custom: what scale and size say."""


def resolve_target(target: str, scale: float, size: str) -> tuple[float, str | None]:
    """The (scale, size) to give to :func:`target_size` for one of :data:`TARGETS`."""
    if target == CUSTOM:
        return scale, size.strip() or None
    return (FACTORS[target], None) if target in FACTORS else (scale, target)


def target_size(source: tuple[int, int], *, scale: float | None = None, size: str | None = None) -> tuple[int, int]:
    """Compute the (height, width) of the output.

    Args:
        source: (height, width) of the input.
        scale: factor from 1 to 16; 4 when neither is given.
        size: ``WIDTHxHEIGHT`` instead of a scale; a side of 0 keeps the aspect ratio. Or one of :data:`FORMATS`.

    Raises:
        PlanError: for a size that cannot be parsed or is out of range.
    """
    height, width = source
    if size is not None:
        target = _parse(size, height, width)
    else:
        scale = 4.0 if scale is None else scale
        if not 1 <= scale <= MAX_SCALE:
            raise PlanError(f"A scale of {scale:g} is out of range; it must be between 1 and {MAX_SCALE:g}.")
        target = round(height * scale), round(width * scale)
    if max(target) > MAX_SIDE:
        raise PlanError(
            f"An output of {target[1]}x{target[0]} is too large; neither side may exceed {MAX_SIDE} pixels."
        )
    if target[0] < height or target[1] < width:
        raise PlanError(
            f"An output of {target[1]}x{target[0]} is smaller than the input, {width}x{height}; choose a larger size."
        )
    return target


MAX_ASPECT_TERM = 65535
"""Numerator and denominator of a pixel aspect have 16 bits in H.264 and HEVC."""


def target_pixel_aspect(source: tuple[int, int], target: tuple[int, int], aspect: Fraction) -> Fraction:
    """The pixel aspect with which a result is displayed in the shape of its input.

    It stays as it is where the sides grow alike, to the nearest pixel, and is 1 where the new size itself has the
    displayed shape, to the nearest pixel; otherwise it makes up for what the size stretches.

    Args:
        source, target: (height, width) of input and result.
        aspect: width of a pixel of the input over its height.
    """
    height, width = source
    for kept in (aspect, Fraction(1)):
        displayed = width * aspect / kept
        if abs(target[1] - target[0] * displayed / height) < 1 or abs(target[0] - target[1] * height / displayed) < 1:
            return kept
    exact = aspect * width * target[0] / (height * target[1])
    if max(exact.numerator, exact.denominator) <= MAX_ASPECT_TERM:
        return exact
    return 1 / (1 / exact).limit_denominator(MAX_ASPECT_TERM) if exact > 1 else exact.limit_denominator(MAX_ASPECT_TERM)


SEPARATORS = "[x\u00d7\u0445*]"
"""Separators between width and height: the letter x, the multiplication sign, the Cyrillic ha, the asterisk."""


def _parse(size: str, height: int, width: int) -> tuple[int, int]:
    screen = next((screen for name, screen in FORMATS.items() if name.lower() == size.strip().lower()), None)
    if screen is not None:
        return _fit(height, width, screen)
    parts = [part.strip() for part in re.split(SEPARATORS, size.lower())]
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise PlanError(f"The size {size!r} cannot be parsed; write WIDTHxHEIGHT, such as 1920x1080, or 4K.")
    new_width, new_height = (int(part) for part in parts)
    if not new_width and not new_height:
        raise PlanError(f"The size {size!r} is empty; at most one side may be 0.")
    return new_height or round(height * new_width / width), new_width or round(width * new_height / height)


def _fit(height: int, width: int, screen: tuple[int, int]) -> tuple[int, int]:
    """As large as fits into a screen, with even sides: most codecs halve the colours' resolution."""
    wide, high = screen if width >= height else screen[::-1]
    scale = min(Fraction(wide, width), Fraction(high, height))
    return 2 * round(height * scale / 2), 2 * round(width * scale / 2)
