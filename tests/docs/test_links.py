"""Every relative link of every page leads to a file, and to a heading where it names one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")
README_LINES = 170


def all_pages() -> list[Path]:
    """Markdown that git tracks or would track."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    try:
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        return [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")]
    return [ROOT / name for name in names if name and (ROOT / name).exists()]


def without_code(text: str) -> str:
    return re.sub(r"^( *)```.*?^\1```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def base_of(page: Path) -> Path:
    """Where relative links begin: of a help page in another language where ComfyUI's frontend has them begin."""
    docs = ROOT / "web" / "docs"
    return docs if docs in page.parents else page.parent


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = base_of(page) / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", all_pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert broken_links(page) == []


CODE_PATH = re.compile(r"`((?:patchvsr_core|tests|nodes|tools|examples|web|benchmarks|locales)/[\w./]+)`")


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md", "docs/layouts.md", "docs/speed.md"])
def test_files_and_folders_that_a_page_names_exist(page: str) -> None:
    named = set(CODE_PATH.findall((ROOT / page).read_text(encoding="utf-8")))
    gone = {name for name in named if not (ROOT / name).exists()}
    assert not gone


def test_a_link_or_an_anchor_that_is_gone_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Here & there\n\n[a](#here--there) [b](gone.md) [c](page.md#gone) [d](https://example.org)\n")
    assert broken_links(page) == ["gone.md", "page.md#gone"]


def test_the_index_leads_to_every_page_of_the_documentation() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = {link.partition("#")[0] for link in LINK.findall(index)}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= linked


def test_the_readme_stays_short_and_tells_a_newcomer_how_to_begin_at_once() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= README_LINES
    commands = [line for line in lines[:40] if line.startswith("python3 -m venv")]
    assert [line.rpartition("&& ")[2].split()[1:4:2] for line in commands] == [["-m", "upscale"], ["-m", "-n"]]


def test_the_files_that_the_commands_of_the_readme_name_exist() -> None:
    commands = re.findall(r"^```\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.M)
    named = set(re.findall(r"[\w/]+\.(?:txt|mp4)", "".join(commands))) - {"installed.txt", "sample_4x.mp4"}
    assert {"requirements.txt", "constraints.txt", "examples/sample.mp4"} <= named
    assert all((ROOT / name).exists() for name in named), named
