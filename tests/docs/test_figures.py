"""Measured figures of the pages are those of ``benchmarks/results``, and none stands there by hand."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from figures import FIGURE, TABLE, FigureError, figure, fill, pages, table  # noqa: E402

MEASURED = re.compile(r"\d (?:dB|MiB|GiB|ms)\b|\d s(?: a|/)frame|\.\d+ s\b|\.\d+ times")
"""Units of what only a measurement can tell."""
COMMAND = re.compile(r"`python\s+benchmarks/\w+\.py[^`]*`")
"""A paragraph that names the command may have a figure whose output is not kept."""
MARKS = re.compile(r"<!-- /?(?:figure|table)\b.*?-->")

RESULT = """# A result

## First, mean over 2 clips

| method | PSNR | s/frame | x | x |
| --- | ---: | ---: | ---: | ---: |
| bicubic | 30.06 | 0.01 | 1 | 2 |
| default | 32.01 | 2.54 | 3 | 4 |

## Second

| method | PSNR |
| --- | ---: |
| default | 33.27 |
"""


def by_hand(text: str) -> list[str]:
    """Paragraphs with a measured figure outside of markers, which name no command either."""
    quoted = TABLE.sub("", FIGURE.sub("", text))
    return [part for part in re.split(r"\n\s*\n", quoted) if MEASURED.search(part) and not COMMAND.search(part)]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "result.md").write_text(RESULT)
    return tmp_path


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_quotes_figures_as_the_results_have_them(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert fill(text) == text, "run python tools/figures.py"
    assert by_hand(text) == [], "quote it from benchmarks/results; see tools/figures.py"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_markers_are_whole_and_do_not_break_a_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not MARKS.search(TABLE.sub("", FIGURE.sub("", text))), "a marker without its other half"
    assert not re.search(r"^\s*<!-- figure", text, re.MULTILINE), "a comment that begins a line ends the paragraph"


def test_a_figure_follows_its_result_with_the_decimals_it_has(results: Path) -> None:
    page = "<!-- figure: result > First > default > PSNR -->1.0<!-- /figure --> dB"
    assert fill(page, results) == page.replace("1.0", "32.0")
    assert fill(page.replace("1.0", "0"), results) == page.replace("1.0", "32")
    assert figure("result > default minus bicubic > s/frame", results) == pytest.approx(2.53)
    assert figure("result > bicubic below default > x 2", results) == pytest.approx(50)


def test_a_table_has_the_rows_and_columns_asked_for(results: Path) -> None:
    page = "<!-- table: result > bicubic; default = ours > PSNR; x 2 = times -->\nold\n<!-- /table -->"
    filled = fill(page, results)
    assert "\n|  | PSNR | times |\n" in filled
    assert "\n| ours | 32.01 | 4 |\n" in filled and "old" not in filled
    assert fill(filled, results) == filled
    assert table("result/First = a; result/Second = b > default > PSNR", results).splitlines()[2:] == [
        "| a | 32.01 |",
        "| b | 33.27 |",
    ]


@pytest.mark.parametrize("address", ["result > default > PSNR", "result > gone > PSNR", "gone > a > b", "result > a"])
def test_an_address_that_leads_nowhere_or_to_two_tables_is_an_error(results: Path, address: str) -> None:
    with pytest.raises(FigureError):
        figure(address, results)


def test_a_figure_by_hand_is_found() -> None:
    assert by_hand("It gains 0.4 dB.\n\nNothing here.") == ["It gains 0.4 dB."]
    assert by_hand("`python benchmarks/speed.py` says 0.4 dB.") == []
    assert by_hand("It gains <!-- figure: x4 > default > PSNR -->0.4<!-- /figure --> dB.") == []
