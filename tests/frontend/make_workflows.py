"""Builds the example workflows in ComfyUI's own frontend, so that they are what it would save.

Run it against a ComfyUI that has this pack, after nodes or their widgets changed:

    python tests/frontend/make_workflows.py http://127.0.0.1:8188 [--only NAME ...]

It writes ``example_workflows/**/*.json``, ``web/templates.json``, ``subgraphs/*.json`` and ``docs/graph.jpg``. The
pictures in the template browser come from ``tools/make_thumbnails.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

from frontend.browser import open_frontend
from frontend.examples import BLUEPRINTS, CARDS, EXAMPLES, FILES, TINY, Example, Pack, listing
from PIL import Image

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "example_workflows"
GRAPH_WIDTH = 1280
SCRIPT = (Path(__file__).parent / "build.js").read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", help="address of a running ComfyUI")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="examples to build; all without it")
    arguments = parser.parse_args()
    for example in (*EXAMPLES, *BLUEPRINTS):
        if arguments.only and example.name not in arguments.only:
            continue
        with open_frontend(arguments.server, width=2560, height=1300, also_installed=FILES) as page:
            page.evaluate("() => app.extensionManager.focusMode || app.extensionManager.toggleFocusMode()")
            built = build(page, example)
            if example in BLUEPRINTS:
                write(ROOT / "subgraphs" / f"{example.name}.json", blueprint(page, example.pack))
                continue
            write(place_of(example.name), built["workflow"])
            if example is TINY:
                save(graph(page), ROOT / "docs" / "graph.jpg")
    write(ROOT / "web" / "templates.json", listing())


def place_of(name: str) -> Path:
    """Special examples lie in a folder of their own, which the template browser does not look into."""
    return (FOLDER if name in CARDS else FOLDER / "special") / f"{name}.json"


def build(page: Any, example: Example) -> dict[str, Any]:
    """Place and connect the nodes, and have the frontend write them: ``workflow``, its ``prompt``, ``ids`` by name."""
    page.evaluate(SCRIPT)
    return json.loads(page.evaluate("(example) => buildExample(example)", example.as_json()))


def blueprint(page: Any, pack: Pack) -> dict[str, Any]:
    """The file of a pack that was just built."""
    file = json.loads(page.evaluate("(title) => blueprintOf(title)", pack.title))
    (subgraph,) = file["definitions"]["subgraphs"]
    subgraph["category"] = pack.category
    return file


def graph(page: Any) -> Image.Image:
    """The graph without the interface around it."""
    x, y, width, height = page.evaluate("() => showWholeGraph()")
    page.wait_for_timeout(1500)
    shot = page.screenshot(clip={"x": x, "y": y, "width": width, "height": height})
    picture = Image.open(BytesIO(shot)).convert("RGB")
    return picture.resize((GRAPH_WIDTH, round(picture.height * GRAPH_WIDTH / picture.width)), Image.LANCZOS)


def write(path: Path, data: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=2) + "\n")


def save(picture: Image.Image, path: Path) -> None:
    picture.save(path, quality=84, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
