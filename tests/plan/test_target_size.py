"""Sizes as users type them."""

import pytest

from patchvsr_core.errors import PlanError
from patchvsr_core.plan.target_size import target_size

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
