"""The help pages: one for every node, true to its schema, and where ComfyUI's frontend looks for them."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import ROOT, fake_comfyui, load_pack
from fakes.core_nodes import CORE_NODES
from help_pages import page_file

from patchvsr_core.settings import OPTIONS

SECTIONS = ["When to use it", "Inputs", "Outputs", "Typical wiring", "Mistakes and messages", "Cost", "Source"]
OPTIONAL_SECTIONS = {"Source"}
COLUMNS = ["input, default", "what it does, and what to choose"]
"""Two: more would not fit into the panel in which ComfyUI shows them."""
FILES_OF_THE_USER = "your files"
OTHER_NAMES = {
    "PATCHVSR_FOLDERS",
    "all",
    "render",
    "1920x0",
    "3840x2160",
    "1920x1080",
    "0-9, 20",
    "pip install OpenEXR",
}
"""Values of widgets for text, and a command."""
PAGE_BYTES, PICTURES_BYTES = 60_000, 1_100_000
NARROW_PX = 400
"""Width at which ComfyUI shows a page; a picture must not be far wider, or its labels cannot be read."""

with fake_comfyui():
    PACK = load_pack()
    INFO = PACK.object_info()
NODES = sorted(INFO)
MODULE = INFO[NODES[0]]["python_module"]


@lru_cache
def page(node_id: str) -> str:
    return (web_folder() / "docs" / f"{node_id}.md").read_text()


def web_folder() -> Path:
    return (ROOT / PACK.module.WEB_DIRECTORY).resolve()


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def tables(text: str) -> list[list[list[str]]]:
    """Rows of cells, the head first, without the line under it."""
    found = re.findall(r"(?:^\|.*\|$\n?)+", text, flags=re.MULTILINE)
    rows = [[[cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines()] for block in found]
    return [[table[0], *table[2:]] for table in rows]


def inputs_of(node_id: str) -> dict[str, tuple[bool, str, dict]]:
    """(required, type, options) by name, in the order of the schema."""
    groups = INFO[node_id]["input"]
    return {
        name: (group == "required", kind, options)
        for group in ("required", "optional")
        for name, (kind, options) in groups.get(group, {}).items()
    }


def is_widget(kind: str) -> bool:
    return kind in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")


def shown_default(required: bool, kind: str, options: dict) -> str:
    """What the column of defaults has to say."""
    if not is_widget(kind):
        return "required" if required else "optional"
    if kind == "COMBO" and "default" not in options:
        return options["options"][0] if options["options"] else FILES_OF_THE_USER
    value = options["default"]
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value) or "empty"


def node_names() -> set[str]:
    """Whole ones, and what stands before and in the brackets, by which pages call a node."""
    names = {entry["display_name"] for entry in [*INFO.values(), *CORE_NODES.values()]}
    return names | {part for name in names if name.endswith(")") for part in name[:-1].split(" (")}


def test_every_node_has_a_page_and_no_page_is_left_over():
    assert sorted(path.stem for path in (web_folder() / "docs").glob("*.md")) == NODES


@pytest.mark.parametrize("node_id", NODES)
def test_a_page_has_its_parts_in_order_under_the_name_of_its_node(node_id):
    text = page(node_id)
    assert text.startswith(f"# {INFO[node_id]['display_name']}\n")
    found = list(sections(text))
    assert found == [name for name in SECTIONS if name in found or name not in OPTIONAL_SECTIONS]
    sentence = text.split("\n\n")[1]
    assert sentence.endswith(".") and not sentence.startswith(("!", "#", "|"))


@pytest.mark.parametrize("node_id", NODES)
def test_the_table_of_inputs_is_the_schema(node_id):
    """Their names in any order that reads well, the defaults, and which are advanced."""
    part, inputs = sections(page(node_id))["Inputs"], inputs_of(node_id)
    if not inputs:
        assert not tables(part)
        return
    head, *rows = tables(part)[0]
    assert head == COLUMNS
    expected = {
        f"`{name}`" + " (advanced)" * bool(options.get("advanced")): shown_default(required, kind, options)
        for name, (required, kind, options) in inputs.items()
    }
    assert dict(row[0].split("<br>") for row in rows) == expected
    assert len(rows) == len(expected)
    assert all(row[1] for row in rows)


@pytest.mark.parametrize("node_id", NODES)
def test_the_table_of_outputs_is_the_schema(node_id):
    (_, *rows), *others = tables(sections(page(node_id))["Outputs"])
    assert [row[0] for row in rows] == [f"`{name}`" for name in INFO[node_id]["output_name"]]
    assert all(row[1] for row in rows) and not others


@pytest.mark.parametrize("node_id", NODES)
def test_what_is_named_as_widget_output_or_choice_exists(node_id):
    known = set(OTHER_NAMES)
    for entry_id, entry in INFO.items():
        known |= {*entry["output_name"]}
        for name, (_, kind, options) in inputs_of(entry_id).items():
            known |= {name, *(options["options"] if kind == "COMBO" else ())}
    named = set(re.findall(r"`([^`\n]+)`", page(node_id)))
    names = {name for name in named if re.fullmatch(r"\w[\w, -]*", name)}
    assert names <= known, names - known


@pytest.mark.parametrize("node_id", NODES)
def test_every_choice_that_a_page_explains_in_a_table_is_one(node_id):
    choices = {name: set(opts["options"]) for name, (_, kind, opts) in inputs_of(node_id).items() if kind == "COMBO"}
    for head, *rows in tables(sections(page(node_id))["Inputs"])[1:]:
        assert {row[0].strip("`") for row in rows} == choices[head[0].strip("`")]


@pytest.mark.parametrize("node_id", NODES)
def test_neighbours_are_nodes(node_id):
    wiring = sections(page(node_id))["Typical wiring"]
    named = set(re.findall(r"\*\*([^*]+)\*\*", wiring))
    assert named and named <= node_names(), named - node_names()
    own = {*inputs_of(node_id), *INFO[node_id]["output_name"]}
    assert own & set(re.findall(r"`(\w+)`", wiring)), "the wiring should name sockets of the node"


@lru_cache
def messages() -> list[list[str]]:
    """Every string of the product, as the parts between what is filled in."""
    found = []
    for path in [ROOT / "__init__.py", *(ROOT / "nodes").glob("*.py"), *(ROOT / "patchvsr_core").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                filled = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                found.append("".join(map(str, filled)).split("\0"))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append([node.value])
    return found


def is_said(quoted: str) -> bool:
    """Whether a message has the parts of a quotation in their order; ``...`` stands for anything."""
    pattern = ".*".join(re.escape(part.strip()) for part in quoted.split("..."))
    return any(re.search(pattern, "\0".join(parts), re.DOTALL) for parts in messages())


@pytest.mark.parametrize("node_id", NODES)
def test_quoted_messages_are_messages_of_the_product(node_id):
    ((_, *rows),) = tables(sections(page(node_id))["Mistakes and messages"])
    for seen, remedy in rows:
        assert remedy
        for quoted in re.findall(r"^\*([^*]{12,})\*", seen):
            assert is_said(quoted), quoted


def test_a_made_up_message_is_not_said():
    assert not is_said("The plan has ... patches and needs more of them")
    assert is_said("The plan has ... patches but the model was given the whole canvas")


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", text)


@pytest.mark.parametrize("node_id", NODES)
def test_pictures_are_there_and_small(node_id):
    """ComfyUI looks for them beside the page; other relative links would lead nowhere in the browser."""
    for target in links(page(node_id)):
        picture = web_folder() / "docs" / target
        assert picture.is_file() and picture.parent.name == node_id, target
        data = picture.read_bytes()
        assert len(data) <= PAGE_BYTES
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None and image.shape[1] <= 2 * NARROW_PX


@pytest.mark.parametrize("node_id", NODES)
def test_every_page_begins_with_a_picture_that_is_described(node_id):
    """Before the first section: what it shows for those who cannot see it, and a line in italics below."""
    head = page(node_id).split("\n## ")[0]
    pictures = re.findall(r"^!\[([^\]]+)\]\([^)]+\.jpg\)$", head, re.MULTILINE)
    assert pictures and all(len(text.split()) > 3 for text in pictures)
    assert re.search(r"\)\n\n\*[^*]+\.\*\n$", head), "a caption below the last picture"


def scripts_of_pictures() -> list[Path]:
    return sorted((ROOT / "tools").glob("make_*_pictures.py"))


def test_no_picture_is_left_over_and_each_is_made_by_one_script():
    pictures = {path.relative_to(web_folder() / "docs") for path in web_folder().rglob("*.jpg")}
    shown = {Path(target) for node_id in NODES for target in links(page(node_id))}
    scripts = [script.read_text() for script in scripts_of_pictures()]
    made = [name for text in scripts for name in re.findall(r'^    "(PatchVSR_\w+/\w+)": ', text, re.MULTILINE)]
    assert len(scripts) == 2 and len(made) == len(set(made))
    assert pictures == shown == {Path(f"{name}.jpg") for name in made}
    assert sum((web_folder() / "docs" / picture).stat().st_size for picture in pictures) < PICTURES_BYTES


def served(url: str) -> Path | None:
    """What ComfyUI answers: it serves WEB_DIRECTORY under the name of the pack's folder."""
    folder = f"/extensions/{MODULE.removeprefix('custom_nodes.')}/"
    path = web_folder() / url.removeprefix(folder)
    return path if url.startswith(folder) and path.is_file() else None


@pytest.mark.parametrize("locale", ["en", "de"])
@pytest.mark.parametrize("node_id", NODES)
def test_the_frontend_finds_the_page_in_every_language(node_id, locale):
    """It asks for the page of its language, and then for the one without."""
    base = f"/extensions/{INFO[node_id]['python_module'].split('.')[1]}/docs/"
    found = served(f"{base}{node_id}/{locale}.md") or served(f"{base}{node_id}.md")
    own = page_file(node_id, locale)
    assert found is not None and found.read_text() == (own.read_text() if own.is_file() else page(node_id))
    for target in links(page(node_id)):
        assert served(base + target), "relative links of pictures begin at docs/, not at a folder of the node"


def test_the_frontend_asks_for_pages_as_we_think():
    frontend = pytest.importorskip("comfyui_frontend_package")
    scripts = (Path(frontend.__file__).parent / "static" / "assets").glob("*.js")
    asked = [text for text in (path.read_text(errors="replace") for path in scripts) if "NodeHelp" in text]
    assert any(re.search(r"/extensions/\$\{\w+\}/docs/\$\{\w+\.name\}\.md", text) for text in asked)
    assert any(re.search(r"return`/extensions/\$\{\w+\}/docs/`", text) for text in asked), "where pictures begin"


def test_the_browser_is_served_pages_and_pictures_and_only_known_scripts():
    """ComfyUI serves the folder WEB_DIRECTORY and loads every script in it."""
    assert web_folder().is_dir() and web_folder().is_relative_to(ROOT)
    files = [path.relative_to(web_folder()) for path in web_folder().rglob("*") if path.is_file()]
    scripts = {str(path) for path in files if path.suffix not in (".md", ".jpg")}
    known = {"clip", "graph_walk", "plan_overlay", "plan_picture", "saved_workflows"}
    known |= {
        "advanced_widgets",
        "error_toast",
        "families",
        "idle_widgets",
        "socket_colors",
        "target_size",
        "templates",
        "watch",
        "words",
    }
    assert scripts == {"templates.json", *(f"{name}.js" for name in known)}


DOCS = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_the_documentation_quotes_messages_and_names_widgets_that_exist(path):
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for head, *rows in tables(text):
        for row in rows if head[0] == "you see" else ():
            for quoted in re.findall(r"^\*([^*]{12,})\*(?! from pip)", row[0]):
                assert is_said(quoted), quoted
    widgets = {name for node_id in NODES for name in inputs_of(node_id)}
    settings = {*OPTIONS, *(choice for option in OPTIONS.values() for choice in option.choices or ())}
    training = ROOT / "patchvsr_core" / "training"
    configs = "".join(path.read_text() for path in [training / "config.py", *(training / "configs").glob("*.toml")])
    files = {path.stem for folder in ("patchvsr_core", "example_workflows") for path in (ROOT / folder).rglob("*.*")}
    for name in set(re.findall(r"`([a-z]+_[a-z_]+)`", text)):
        assert name in widgets | settings or name in files or name in configs or (ROOT / name).is_dir(), name
