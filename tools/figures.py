"""Fills the measured figures of the pages in from ``benchmarks/results``, where each stands once.

    python tools/figures.py [--check]

A page marks what it quotes; the comments do not show when it is read:

    <!-- figure: x4 > default > PSNR -->36.37<!-- /figure --> dB

    <!-- table: x4 > bicubic; default = PatchVSR > PSNR; temporal error = temporal error ↓ -->
    (written by this script)
    <!-- /table -->

The address is file, row, column, as they stand in ``benchmarks/results/FILE.md``; where two tables of a file have that
row and column, a part of the table's title comes after the file: ``x4_damaged > noise input > default > PSNR``. Where
a table has two columns ``x``, the second is ``x 2``. A figure is rounded to the decimals that it is written with: write
``0.00`` at first. In the place of a row there may be a calculation with two: ``A minus B``, ``A plus B``, ``A over B``,
``A below B`` (by how many per cent).

In a table ``=`` gives rows, columns and files a name, cells are quoted as they are, and ``*`` stands for all. With
several files, ``x2 = twice; x3 = thrice > bicubic; default > PSNR``, each is a row, and what were rows are columns.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FIGURE = re.compile(r"(<!-- figure: (.+?) -->)(.*?)(<!-- /figure -->)")
TABLE = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- /table -->)", re.DOTALL)
CALCULATIONS: dict[str, Callable[[float, float], float]] = {
    " minus ": lambda a, b: a - b,
    " plus ": lambda a, b: a + b,
    " over ": lambda a, b: a / b,
    " below ": lambda a, b: 100 * (1 - a / b),
}


class FigureError(Exception):
    """A marker that cannot be followed; the message names it and what there is."""


@dataclass(frozen=True)
class Table:
    """Cells of a result as they are written, by the names of rows and columns."""

    title: str
    columns: tuple[str, ...]
    rows: dict[str, dict[str, str]]


def pages() -> list[Path]:
    """Every page that quotes figures."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "web" / "docs").rglob("*.md"))]


@lru_cache
def read_tables(path: Path) -> tuple[Table, ...]:
    """The tables of a result file, each under its ``##`` heading."""
    if not path.exists():
        raise FigureError(f"there is no {path.name} in benchmarks/results")
    found = []
    for title, body in re.findall(r"^## (.+)\n\n((?:\|.*\n)+)", path.read_text(encoding="utf-8"), re.MULTILINE):
        heads, _, *lines = [[cell.strip() for cell in line[1:-1].split("|")] for line in body.splitlines()]
        heads = [f"{head} 2" if head in heads[:column] else head for column, head in enumerate(heads)]
        rows = {cells[0]: dict(zip(heads[1:], cells[1:], strict=True)) for cells in lines}
        found.append(Table(title, tuple(heads[1:]), rows))
    return tuple(found)


def find_table(path: Path, section: str, rows: list[str], columns: list[str]) -> Table:
    """The one table whose title contains ``section`` and that has the rows and columns."""
    tables = [table for table in read_tables(path) if section in table.title]
    fitting = [t for t in tables if set(rows) <= t.rows.keys() and set(columns) <= set(t.columns)]
    if len(fitting) != 1:
        known = "; ".join(f"{t.title}: {', '.join(t.rows)} / {', '.join(t.columns)}" for t in tables)
        raise FigureError(
            f"{path.name} has {len(fitting)} tables {section!r} with {rows} and {columns}; it has {known}"
        )
    return fitting[0]


def parse_address(text: str) -> tuple[str, str, str, str]:
    """(file, section, row, column); the section may be missing."""
    parts = [part.strip() for part in text.split(" > ")]
    if len(parts) not in (3, 4):
        raise FigureError(f"{text!r} should be file > row > column, or file > table > row > column")
    return (parts[0], parts[1] if len(parts) == 4 else "", parts[-2], parts[-1])


def parse_names(text: str) -> dict[str, str]:
    """``a; b = c`` as ``{"a": "a", "b": "c"}``."""
    pairs = [part.partition(" = ") for part in text.split(";")]
    return {name.strip(): (shown or name).strip() for name, _, shown in pairs}


def figure(address: str, results: Path = RESULTS) -> float:
    """The value at an address."""
    file, section, row, column = parse_address(address)
    path = results / f"{file}.md"
    for word, calculate in CALCULATIONS.items():
        names = row.split(word)
        if len(names) == 2:
            table = find_table(path, section, names, [column])
            return calculate(*(float(table.rows[name][column]) for name in names))
    return float(find_table(path, section, [row], [column]).rows[row][column])


def table(address: str, results: Path = RESULTS) -> str:
    """The Markdown table that an address describes."""
    files, section, row, column = parse_address(address)
    if ";" in files:
        return pivoted(parse_names(files), row, column, results)
    rows, columns = parse_names(row), parse_names(column)
    wanted = [[] if "*" in names else list(names) for names in (rows, columns)]
    found = find_table(results / f"{files}.md", section, *wanted)
    rows = {name: name for name in found.rows} if "*" in rows else rows
    columns = {name: name for name in found.columns} if "*" in columns else columns
    cells = [[shown, *(found.rows[name][column] for column in columns)] for name, shown in rows.items()]
    return as_markdown(list(columns.values()), cells)


def pivoted(files: dict[str, str], row: str, column: str, results: Path) -> str:
    """One row for each file (or ``file/part of a title``), one column for each row of theirs."""
    rows = parse_names(row)
    cells = []
    for source, shown in files.items():
        file, _, section = source.partition("/")
        found = find_table(results / f"{file}.md", section, list(rows), [column])
        cells.append([shown, *(found.rows[name][column] for name in rows)])
    return as_markdown(list(rows.values()), cells)


def as_markdown(heads: list[str], rows: list[list[str]]) -> str:
    """Numbers to the right, the names of rows to the left."""
    lines = [["", *heads], ["---", *["---:"] * len(heads)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fill(text: str, results: Path = RESULTS) -> str:
    """A page with every marked figure and table as the results have it."""

    def rounded(match: re.Match[str]) -> str:
        opening, address, shown, closing = match.groups()
        decimals = len(shown.partition(".")[2])
        return f"{opening}{figure(address, results):.{decimals}f}{closing}"

    def whole(match: re.Match[str]) -> str:
        opening, address, closing = match.groups()
        return f"{opening}\n{table(address, results)}\n\n{closing}"

    return TABLE.sub(whole, FIGURE.sub(rounded, text))


def main() -> int:
    """Fill the pages in, or with ``--check`` say which are out of date."""
    parser = argparse.ArgumentParser(description="Fill measured figures in from benchmarks/results.")
    parser.add_argument("--check", action="store_true", help="change nothing; end with 1 if a page is out of date")
    check = parser.parse_args().check
    stale = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        try:
            filled = fill(text)
        except FigureError as error:
            raise SystemExit(f"{page.relative_to(ROOT)}: {error}") from error
        if filled != text:
            stale.append(page)
            if not check:
                page.write_text(filled, encoding="utf-8", newline="\n")
    for page in stale:
        print(f"{page.relative_to(ROOT)} {'is out of date: run python tools/figures.py' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
