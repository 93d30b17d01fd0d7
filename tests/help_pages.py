"""The help pages in other languages: ``web/docs/<node>/<language>.md``, which ComfyUI takes before the English page.

The first line of a translation names the state of the English page that it was made from:

    <!-- English: 0123456789ab -->
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "web" / "docs"
HEAD = re.compile(r"<!-- English: ([0-9a-f]{12}) -->\n")
FIGURE = re.compile(r"(<!-- figure: .+? -->)(.*?)(<!-- /figure -->)")
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
BOLD = re.compile(r"\*\*([^*]+)\*\*")
QUOTE = re.compile(r"^\*([^*]{12,})\*")
Texts = Mapping[str, Any]


def nodes() -> list[str]:
    """Ids of the nodes that have a page."""
    return sorted(path.stem for path in DOCS.glob("*.md"))


@lru_cache
def english_page(node: str) -> str:
    """The English page of a node."""
    return (DOCS / f"{node}.md").read_text("utf-8")


def page_file(node: str, language: str) -> Path:
    """Where the frontend looks for the page of a node in a language first."""
    return DOCS / node / f"{language}.md"


def state(page: str) -> str:
    """Changes when what is translated changes; measured figures are filled in by a script and do not count."""
    return hashlib.sha256(FIGURE.sub(r"\1\3", page).encode()).hexdigest()[:12]


def page_faults(
    node: str, language: str, names: tuple[Texts, Texts], messages: tuple[Texts, Mapping[str, str]]
) -> Iterator[str]:
    """What is wrong with a translation that is there, a sentence each.

    Args:
        names: nodeDefs in English and in the language.
        messages: of both.
    """
    source, page = english_page(node), page_file(node, language).read_text("utf-8")
    head = HEAD.match(page)
    if head is None or head[1] != state(source):
        yield f"is older than the English page; its first line must be <!-- English: {state(source)} -->"
    page = HEAD.sub("", page)
    yield from _layout_faults(source, page)
    yield from _name_faults(node, page, BOLD.findall(source), names)
    rows = list(zip(_rows(source), _rows(page), strict=False))
    yield from _shown_name_faults(node, rows, names)
    yield from _tooltip_faults(node, rows, names)
    yield from _quote_faults(rows, messages)


def _layout_faults(source: str, page: str) -> Iterator[str]:
    """Headings, tables, code, links, bold names and figures are those of the source."""
    if re.search(r"^\s*<!-- figure", page, re.MULTILINE):
        yield "a figure must not begin a line: the comment before it would end the paragraph"
    kinds = {
        "headings": lambda text: re.findall(r"^#+(?= )", text, re.MULTILINE),
        "columns of tables": lambda text: [len(row) for row in _rows(text)],
        "parts of table cells (between <br>)": lambda text: [cell.count("<br>") for row in _rows(text) for cell in row],
        "lines of lists": lambda text: re.findall(r"^- ", text, re.MULTILINE),
        "code": lambda text: sorted(CODE.findall(text)),
        "links and pictures": LINK.findall,
        "bold names": lambda text: ["**"] * len(BOLD.findall(text)),
        "figures": FIGURE.findall,
    }
    for kind, find in kinds.items():
        expected, found = find(source), find(page)
        if expected != found:
            lacking = [one for one in expected if one not in found]
            extra = [one for one in found if one not in expected]
            yield f"{kind} differ ({len(found)}, not {len(expected)}; lacks {lacking}, has {extra})"


def _name_faults(node: str, page: str, bold: list[str], names: tuple[Texts, Texts]) -> Iterator[str]:
    """The title is the node's name in the language, and so are the nodes that are named in bold."""
    english, own = names
    if not page.startswith(f"# {own[node]['display_name']}\n"):
        yield f"must begin with # {own[node]['display_name']}"
    found = BOLD.findall(page)
    for called in bold:
        for other, texts in english.items():
            forms = zip(_forms(texts["display_name"]), _forms(own[other]["display_name"]), strict=False)
            for name, translated in forms:
                if called == name and translated not in found:
                    yield f"**{called}** is called **{translated}** here"


def _forms(name: str) -> list[str]:
    """The whole name of a node, and what stands before and in its brackets, by which pages call it."""
    parts = re.fullmatch(r"(.+?) ?[(\uff08](.+)[)\uff09]", name)
    return [name, *(parts.groups() if parts else ())]


def _rows(page: str) -> list[list[str]]:
    """Cells of every line of all tables, without the lines under their heads."""
    lines = re.findall(r"^\|(.*)\|$", page, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines if not re.fullmatch(r"[-| ]+", line)]


def _shown_name_faults(node: str, rows: list[tuple[list[str], list[str]]], names: tuple[Texts, Texts]) -> Iterator[str]:
    """In tables of inputs and outputs the name on the node comes before the id, unless they are the same."""
    own = dict(_names(names[0][node], names[1][node]))
    for source, row in rows:
        key = source[0].split("<br>")[0].split("(")[0].strip(" `")
        if CODE.match(source[0]) and key in own and not row[0].startswith(f"{own[key]} (`{key}`)"):
            yield f"write {own[key]} (`{key}`) at the beginning of {row[0]!r}"


def _names(english: Texts, own: Texts) -> Iterator[tuple[str, str]]:
    """(what the English page calls an input or output, its name on the node) where they differ."""
    for part, is_input in (("inputs", True), ("outputs", False)):
        for key, texts in english.get(part, {}).items():
            called = key if is_input else texts.get("name", "")
            shown = own.get(part, {}).get(key, {}).get("name", called)
            if shown.lower() != called.lower():
                yield called, shown


def _tooltip_faults(node: str, rows: list[tuple[list[str], list[str]]], names: tuple[Texts, Texts]) -> Iterator[str]:
    """Where the English page repeats a tooltip word for word, the translation repeats the translated one."""
    tooltips = list(_tooltips(names[0][node], names[1][node]))
    for source, row in rows:
        named = CODE.match(source[0])
        for part, translated in zip(source[-1].split("<br>"), row[-1].split("<br>"), strict=False):
            own = [tip for key, tooltip, tip in tooltips if named and named[0] == f"`{key}`" and tooltip == part]
            if own and translated not in own:
                yield f"{named[0]} repeats the tooltip: {own[0]}"


def _tooltips(english: Texts, own: Texts) -> Iterator[tuple[str, str, str]]:
    """(what the English page calls an input or output, its tooltip in English, and in the language)."""
    for part, is_input in (("inputs", True), ("outputs", False)):
        for key, texts in english.get(part, {}).items():
            called = key if is_input else texts.get("name", "")
            tooltip = own.get(part, {}).get(key, {}).get("tooltip", "")
            if "tooltip" in texts and tooltip:
                yield called, texts["tooltip"], tooltip


def _quote_faults(rows: list[tuple[list[str], list[str]]], messages: tuple[Texts, Mapping[str, str]]) -> Iterator[str]:
    """What the English page quotes from a message is quoted from the translated message."""
    english, own = messages
    for source, row in rows:
        quoted = QUOTE.match(source[0])
        of = [template for template in english if quoted and _is_part(quoted[1], template)]
        if not of:
            continue
        found = QUOTE.match(row[0])
        if found is None or not any(_is_part(found[1], own.get(template, template)) for template in of):
            yield f"{row[0]} must quote {own.get(of[0], of[0])!r} between asterisks, ... for what is left out"


def _is_part(quoted: str, template: str) -> bool:
    """Whether a quotation, with ... for anything, is from a message."""
    pattern = ".*".join(re.escape(part.strip()) for part in quoted.split("..."))
    return re.search(pattern, template, re.DOTALL) is not None
