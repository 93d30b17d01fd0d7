"""Sizes as users type them."""

from fractions import Fraction

import pytest

from patchvsr_core.errors import PlanError
from patchvsr_core.plan.target_size import CUSTOM, FORMATS, TARGETS, resolve_target, target_pixel_aspect, target_size

SOURCE = (100, 240)


SIGNS = ["1920x800", "1920X800", " 1920 x 800 ", "1920\u00d7800", "1920\u0445800", "1920*800"]


@pytest.mark.parametrize("typed", SIGNS)
def test_what_keyboards_have_between_the_sides_is_understood(typed):
    assert target_size(SOURCE, size=typed) == (800, 1920)


def test_one_side_keeps_the_aspect():
    assert target_size(SOURCE, size="1920x0") == (800, 1920)
    assert target_size(SOURCE, size="0x800") == (800, 1920)


@pytest.mark.parametrize("typed", ["1920", "x", "0x0", "1920x800x3", "1920x-5", "wide", "1920y800"])
def test_what_is_no_size_is_a_sentence(typed):
    with pytest.raises(PlanError, match="size"):
        target_size(SOURCE, size=typed)


@pytest.mark.parametrize(
    ("source", "aspect", "target", "expected"),
    [
        ((48, 72), Fraction(32, 27), (144, 256), Fraction(1)),  # NTSC of 16:9, as square pixels
        ((576, 720), Fraction(64, 45), (1080, 1920), Fraction(1)),  # PAL of 16:9
        ((480, 720), Fraction(8, 9), (1080, 1440), Fraction(1)),  # NTSC of 4:3
        ((480, 720), Fraction(8, 9), (960, 1440), Fraction(8, 9)),  # both sides alike
        ((480, 720), Fraction(32, 27), (1080, 1920), Fraction(1)),
        ((48, 72), Fraction(32, 27), (144, 144), Fraction(16, 9)),  # the pixels make up for it
        ((48, 64), Fraction(1), (128, 128), Fraction(4, 3)),
        ((35, 23), Fraction(1), (52, 34), Fraction(1)),  # rounded sides are no stretching
        ((35, 23), Fraction(16, 11), (53, 34), Fraction(16, 11)),
    ],
)
def test_the_shape_of_the_picture_stays_at_any_size(source, aspect, target, expected):
    assert target_pixel_aspect(source, target, aspect) == expected


def test_a_pixel_aspect_fits_into_sixteen_bits():
    found = target_pixel_aspect((16381, 16369), (16384, 16370), Fraction(65521, 65519))
    assert max(found.numerator, found.denominator) <= 65535
    assert found == pytest.approx(65521 / 65519, rel=1e-3)
    assert target_pixel_aspect((997, 991), (16384, 1009), Fraction(4999, 4993)).denominator <= 65535


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        ((1080, 1920), "4K", (2160, 3840)),
        ((480, 640), "1080p", (1080, 1440)),  # 4:3 fills the height
        (SOURCE, "1080p", (800, 1920)),  # a wide film fills the width
        ((640, 360), "720p", (1280, 720)),  # upright
        ((270, 481), "1440P", (1438, 2560)),  # even sides
        ((544, 960), "8K", (4320, 7624)),
    ],
)
def test_a_screen_is_filled_in_one_direction(source, name, expected):
    assert target_size(source, size=name) == expected


def test_two_decimals_of_a_scale_count():
    assert target_size((480, 640), scale=2.25) == (1080, 1440)


def test_a_named_target_outdoes_scale_and_size():
    assert {name: resolve_target(name, 2.0, " 480x0 ") for name in ("3x", "4K", CUSTOM)} == {
        "3x": (3.0, None),
        "4K": (2.0, "4K"),
        CUSTOM: (2.0, "480x0"),
    }
    assert resolve_target(CUSTOM, 2.25, " ") == (2.25, None)


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_can_be_made(name):
    scale, size = resolve_target(name, 2.0, "")
    height, width = target_size((360, 640), scale=scale, size=size)
    assert (width, height) == FORMATS.get(name, (int(640 * scale), int(360 * scale)))
