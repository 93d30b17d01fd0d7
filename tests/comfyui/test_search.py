"""Where the pack stands in the search of ComfyUI's own frontend, among all nodes and subgraphs that ComfyUI has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from comfyui_server import Server
from frontend.browser import missing, open_frontend

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing() is not None, reason=f"the frontend tests need {missing()}"),
]
SINCE = (0, 33)
"""Before it ComfyUI had fewer nodes and subgraphs, and its frontend another order."""
NEED = 3
FOUND = {
    "upscale": "Upscale",
    "video upscale": "Video Upscale (PatchVSR Super Resolution)",
    "enhance": "PatchVSR_RefineFidelity",
    "denoise": "PatchVSR_JointModulationMerger",
    "sharpen": "PatchVSR_DetailGuidance",
    "tile": "PatchVSR_PatchPlanner",
    "4k": "PatchVSR_UpscaleVideo",
    "restore": "PatchVSR_UpscaleVideo",
    "super resolution": "Video Upscale (PatchVSR Super Resolution)",
    "deflicker": "PatchVSR_FlowPropagation",
    "interlace": "PatchVSR_UpscaleVideo",
    "upscale video": "PatchVSR_UpscaleVideo",
}
"""What people type, and which node or subgraph has to be among the first three.

*Upscale Video* itself cannot be among them for "upscale" and "video upscale". A name that is the word comes first, then
names that begin with it, and of those the ones that ComfyUI's own templates use most: four of core's stand before it.
"""
SEARCH = """(word) => {
  const stores = document.querySelector('#vue-app').__vue_app__.config.globalProperties.$pinia._s
  const found = stores.get('nodeDef').nodeSearchService.searchNode(word, [], { limit: 200 })
  return found.map(({ name, display_name }) => (name.startsWith('SubgraphBlueprint.') ? display_name : name))
}"""
KNOWS_SUBGRAPHS = f"""() => ({SEARCH})('upscale').includes('Upscale')"""


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Any]:
    version = server.get("/system_stats")["system"]["comfyui_version"]
    if tuple(map(int, version.split(".")[:2])) < SINCE:
        pytest.skip(f"ComfyUI {version} has another list")
    with open_frontend(f"http://127.0.0.1:{server.port}") as page:
        page.wait_for_function(KNOWS_SUBGRAPHS)
        yield page


@pytest.mark.parametrize(("word", "name"), FOUND.items(), ids=FOUND)
def test_it_is_among_the_first_three(page: Any, word: str, name: str) -> None:
    found = page.evaluate(SEARCH, word)
    assert name in found[:NEED], found[:10]
    print(f"{word}: {found.index(name) + 1} of {len(found)}")


def test_the_name_of_the_pack_finds_what_upscales(page: Any) -> None:
    assert {"Video Upscale (PatchVSR Super Resolution)", "PatchVSR_UpscaleVideo"} <= set(
        page.evaluate(SEARCH, "patchvsr")
    )
