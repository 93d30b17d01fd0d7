"""Builds the example workflows in ComfyUI's own frontend, so that they are what it would save.

Run it against a ComfyUI that has this pack, after nodes or their widgets changed:

    python tests/frontend/make_workflows.py http://127.0.0.1:8188 [--run]

It writes ``example_workflows/*.json`` and a picture of each as ``.jpg``. With ``--run`` those
of the tiny default are executed first, so that their pictures show results. Copy ``examples/sample.mp4`` to
ComfyUI's ``input/patchvsr_sample.mp4`` before.
"""

from __future__ import annotations

import argparse
import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from frontend.browser import open_frontend
from frontend.examples import EXAMPLES, FILES, Example
from PIL import Image

FOLDER = Path(__file__).parents[2] / "example_workflows"
THUMBNAIL_WIDTH = 1280
IS_BUSY = "() => fetch('/prompt').then((answer) => answer.json()).then((queue) => queue.exec_info.queue_remaining > 0)"
SCRIPT = (Path(__file__).parent / "build.js").read_text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", help="address of a running ComfyUI")
    parser.add_argument("--run", action="store_true", help="execute what needs no download before taking its picture")
    arguments = parser.parse_args()
    for example in EXAMPLES:
        with open_frontend(arguments.server, width=2560, height=1300, also_installed=FILES) as page:
            page.evaluate("() => app.extensionManager.focusMode || app.extensionManager.toggleFocusMode()")
            workflow = build(page, example)
            (FOLDER / f"{example.name}.json").write_text(json.dumps(workflow, indent=2) + "\n")
            if arguments.run and not any(
                node.type in FILES and node.type != "LoadVideo" for node in example.nodes.values()
            ):
                page.evaluate("() => app.queuePrompt(0)")
                while page.evaluate(IS_BUSY):
                    page.wait_for_timeout(500)
                page.wait_for_timeout(3000)
            save_picture(page, FOLDER / f"{example.name}.jpg")


def build(page: Any, example: Example) -> dict[str, Any]:
    """Place the nodes, connect them, and have the frontend write the file."""
    page.evaluate(SCRIPT)
    return json.loads(page.evaluate("(example) => buildExample(example)", example.as_json()))


def save_picture(page: Any, path: Path) -> None:
    """The graph without the interface around it."""
    x, y, width, height = page.evaluate("() => showWholeGraph()")
    page.wait_for_timeout(1500)
    shot = page.screenshot(clip={"x": x, "y": y, "width": width, "height": height})
    picture = Image.open(BytesIO(shot)).convert("RGB")
    picture = picture.resize((THUMBNAIL_WIDTH, round(picture.height * THUMBNAIL_WIDTH / picture.width)), Image.LANCZOS)
    picture.save(path, quality=78, optimize=True, progressive=True)


if __name__ == "__main__":
    main()
