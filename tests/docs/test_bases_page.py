"""The page about bases says what the table of families says."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchvsr_core.stages.families import FAMILIES

PAGE = (Path(__file__).parents[2] / "docs" / "bases.md").read_text("utf-8")
ROWS = {cells[0]: cells for line in PAGE.splitlines() if len(cells := line.strip("| ").split(" | ")) == 9}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_defaults_on_the_page_are_those_of_the_table(name: str) -> None:
    family = FAMILIES[name]
    settings = family.without_adapter
    own_prompt = not family.needs_prompt or name == "tiny"
    expected = [
        *(family.title, family.frames, settings.patch_px, settings.window_frames, settings.layout, settings.steps),
        *(f"{settings.start:g}", settings.color, "its own" if own_prompt else "yes"),
    ]
    assert ROWS[family.title] == list(map(str, expected))


def test_the_page_has_no_family_that_the_table_lacks() -> None:
    assert len(ROWS) == len(FAMILIES) + 1, "with the heading"
