"""Opens ComfyUI's frontend in Debian's Chromium."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,
}
"""No first-run dialog, nothing over the graph, and text at any zoom."""
IS_READY = """() => window.app?.vueAppReady && LiteGraph?.registered_node_types.PatchVSR_PatchPlanner
    && app.extensionManager?.workflow?.activeWorkflow && app.graph?._nodes.length > 0"""
"""The nodes are known, and the workflow that the frontend opens with is in place, so that it cannot replace ours."""
SETTLE = """async (turns) => {
    const { lookNow } = await import('/extensions/PatchVSR/watch.js')
    for (let turn = 0; turn < turns; turn += 1) {
        await lookNow()
        await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))
    }
}"""
REST = """([quiet, longest]) => new Promise((done) => {
    const end = () => (observer.disconnect(), requestAnimationFrame(() => requestAnimationFrame(() => done())))
    let timer = setTimeout(end, quiet)
    const observer = new MutationObserver(() => (clearTimeout(timer), (timer = setTimeout(end, quiet))))
    observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true })
    setTimeout(end, longest)
})"""
QUIET_MS, LONGEST_MS = 150, 2000


def missing() -> str | None:
    """What to install before a browser test can run; None when everything is there."""
    if chromium() is None:
        return "Chromium: install the system package chromium"
    for module in ("playwright", "comfyui_frontend_package", "PIL"):
        if importlib.util.find_spec(module) is None:
            package = {"comfyui_frontend_package": "comfyui-frontend-package", "PIL": "pillow"}.get(module, module)
            return f"{package}: pip install {package}"
    return None


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def static_folder() -> Path:
    """The frontend's files."""
    spec = importlib.util.find_spec("comfyui_frontend_package")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "static"


@contextmanager
def open_frontend(
    server: str,
    *,
    width: int = 1600,
    height: int = 1000,
    also_installed: dict[str, dict[str, list[str]]] | None = None,
) -> Iterator[Any]:
    """A page with the frontend, ready for use; errors of its scripts are collected in ``page.script_errors``.

    Args:
        also_installed: per node and input, files that the page is told the server has.
    """
    from playwright.sync_api import Error, sync_playwright

    body = json.dumps(SETTINGS).encode()
    request = urllib.request.Request(f"{server}/settings", data=body, headers={"Content-Type": "application/json"})
    urllib.request.urlopen(request).close()
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium(), args=FLAGS, viewport={"width": width, "height": height}
        )
        try:
            page = context.pages[0]
            page.script_errors = []
            page.on("pageerror", lambda error: page.script_errors.append(str(error)))
            page.route("**/object_info", lambda route: _fulfil(route, also_installed or {}))
            page.goto(server)
            page.wait_for_function(IS_READY, timeout=120_000)
            yield page
        finally:
            with suppress(Error):  # one that was ended is closed
                context.close()


def end_browsers() -> None:
    """End what this process has opened, and what drives it, so that a call that still waits for an answer fails.

    Neither running a script in a page nor closing the browser has a time limit of its own.
    """
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any("playwright" in part or "chrom" in part for part in child.cmdline()[:2]):
                child.kill()


def settle(page: Any, turns: int = 3) -> None:
    """Let the pack's scripts look at the nodes so many times, and wait for what they ask and draw.

    A first look may wait for what was asked before, a second asks, a third draws what follows from the answer.
    """
    page.evaluate(SETTLE, turns)


def rest(page: Any) -> None:
    """Wait until the frontend changes nothing on its page any more."""
    page.evaluate(REST, [QUIET_MS, LONGEST_MS])


def _fulfil(route: Any, also_installed: dict[str, dict[str, list[str]]]) -> None:
    response = route.fetch()
    info = response.json()
    for node, files in also_installed.items():
        for name, added in files.items():
            kind = info[node]["input"]["required"][name]
            options = kind[0] if isinstance(kind[0], list) else kind[1]["options"]
            options.extend(file for file in added if file not in options)
    route.fulfill(response=response, json=info)
