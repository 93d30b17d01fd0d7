"""Builds the example workflows in ComfyUI's own frontend, so that they are what it would save.

Run it against a ComfyUI that has this pack, after nodes or their widgets changed:

    python tests/frontend/make_workflows.py http://127.0.0.1:8188 [--run] [--only NAME ...]

It writes ``example_workflows/*.json`` and a picture of each as ``.jpg``, ``subgraphs/*.json`` and ``docs/graph.jpg``.
With ``--run``
those that need no download are executed, and their pictures show what came out of them; the others show the graph.
Copy ``examples/render`` to ComfyUI's ``input/patchvsr_render`` before.
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
from frontend.examples import EXAMPLES, FILES, TINY, Example, Pack
from frontend.thumbnails import before_and_after
from PIL import Image

ROOT = Path(__file__).parents[2]
FOLDER, BLUEPRINTS = ROOT / "example_workflows", ROOT / "subgraphs"
GRAPH_WIDTH = 1280
SCRIPT = (Path(__file__).parent / "build.js").read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", help="address of a running ComfyUI")
    parser.add_argument("--run", action="store_true", help="execute what needs no download, for its picture")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="examples to build; all without it")
    arguments = parser.parse_args()
    for example in EXAMPLES:
        if arguments.only and example.name not in arguments.only:
            continue
        picture = FOLDER / f"{example.name}.jpg"
        with open_frontend(arguments.server, width=2560, height=1300, also_installed=FILES) as page:
            page.evaluate("() => app.extensionManager.focusMode || app.extensionManager.toggleFocusMode()")
            built = build(page, example)
            write(FOLDER / f"{example.name}.json", built["workflow"])
            if example.pack:
                write(BLUEPRINTS / f"{example.pack.title}.json", blueprint(page, example.pack))
            if example is TINY:
                save(graph(page), ROOT / "docs" / "graph.jpg")
            if example.shown is None:
                save(graph(page), picture)
            elif arguments.run:
                save(before_and_after(arguments.server, built["prompt"], built["ids"], example.shown), picture)


def build(page: Any, example: Example) -> dict[str, Any]:
    """Place and connect the nodes, and have the frontend write them: ``workflow``, its ``prompt``, ``ids`` by name."""
    page.evaluate(SCRIPT)
    return json.loads(page.evaluate("(example) => buildExample(example)", example.as_json()))


def blueprint(page: Any, pack: Pack) -> dict[str, Any]:
    """The file of the pack that was just built as part of an example."""
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


def write(path: Path, data: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=2) + "\n")


def save(picture: Image.Image, path: Path) -> None:
    picture.save(path, quality=84, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
