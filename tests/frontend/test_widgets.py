"""What stands open on a node and what decides the size, in ComfyUI's own frontend and both of its renderers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fakes.core_nodes import CORE_NODES
from fakes.pack import ROOT
from frontend.browser import missing, open_frontend, settle, static_folder
from frontend.stub_server import StubServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing() is not None, reason=f"the frontend tests need {missing()}"),
]
MOST_OPEN = 8
ADD = """(type) => {
  for (const node of [...app.graph._nodes]) app.graph.remove(node) // clear() would use their ids again
  const node = (window.made = LiteGraph.createNode(type))
  app.graph.add(node)
  node.pos = [100, 100]
  Object.assign(app.canvas.ds, { scale: 1, offset: [100, 50] })
  app.canvas.setDirty(true, true)
}"""
OPEN = """() => (made.widgets ?? []).filter((w) => w.type !== 'button' && w.name !== 'patchvsr_forecast' && !w.hidden
  && !(w.options.advanced && !made.showAdvanced)).map((w) => w.name)"""
SET = "([name, value]) => { made.widgets.find((w) => w.name === name).value = value }"
IS_GREY = "(name) => !!made.widgets.find((w) => w.name === name).disabled"


@pytest.fixture(scope="module")
def info(pack: Any) -> dict[str, Any]:
    return json.loads(json.dumps({**CORE_NODES, **pack.object_info()}))


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "vue"])
def page(pack: Any, info: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[Any]:
    desk = pack.part("nodes.desk")
    posted = {desk.ROUTE: desk.answer_to}
    inputs = {"patchvsr_sample.mp4": ROOT / "examples" / "sample.mp4"}
    with StubServer(static_folder(), info, web=ROOT / "web", posted=posted, inputs=inputs) as server:
        server.answers["/settings"]["Comfy.VueNodes.Enabled"] = request.param
        with open_frontend(server.address) as page:
            page.is_vue = request.param
            yield page
            assert page.script_errors == []


def add(page: Any, kind: str) -> None:
    page.evaluate(ADD, f"PatchVSR_{kind}")
    settle(page)


def choose(page: Any, name: str, value: Any) -> None:
    page.evaluate(SET, [name, value])
    settle(page)


def test_at_most_eight_widgets_stand_open(page: Any, info: dict[str, Any]) -> None:
    for kind in (name for name in info if name.startswith("PatchVSR_")):
        page.evaluate(ADD, kind)
        assert len(page.evaluate(OPEN)) <= MOST_OPEN, kind


def test_the_others_come_at_a_click_and_go(page: Any) -> None:
    add(page, "UpscaleVideo")
    few, height = page.evaluate(OPEN), page.evaluate("() => made.size[1]")
    assert "crf" not in few and "target" in few
    if page.is_vue:
        return  # the frontend's own button; ours is for the other renderer
    press = "() => made.widgets.find((w) => w.type === 'button').callback()"
    page.evaluate(press)
    assert "crf" in page.evaluate(OPEN) and page.evaluate("() => made.size[1]") > height + 200
    page.evaluate(press)
    assert page.evaluate(OPEN) == few and page.evaluate("() => made.size[1]") == height


@pytest.mark.parametrize("kind", ["UpscaleVideo", "PatchPlanner", "DAPUpscale", "RDGUpscale"])
def test_what_does_not_decide_the_size_is_grey(page: Any, kind: str) -> None:
    add(page, kind)
    assert not page.evaluate(IS_GREY, "scale") and "size" not in page.evaluate(OPEN)
    choose(page, "target", "4K")
    assert page.evaluate(IS_GREY, "scale")
    choose(page, "target", "custom")
    choose(page, "size", "1920x0")
    assert page.evaluate(IS_GREY, "scale") and "size" in page.evaluate(OPEN), "what decides is never hidden"
    choose(page, "size", "")
    assert not page.evaluate(IS_GREY, "scale") and "size" not in page.evaluate(OPEN)


CONNECT = """([type, output, input]) => {
  const source = LiteGraph.createNode(type)
  app.graph.add(source)
  source.connect(output, made, made.findInputSlot(input))
}"""
GREY = "(names) => names.filter((name) => made.widgets.find((w) => w.name === name).disabled)"
OF_DENOISING = {"seed", "steps", "guidance", "guidance_rescale", "patch_px", "layout", "patches_at_once", "propagation"}
OF_DENOISING |= {"economy", "color_fix"}
OF_ANY_MODEL = {"detail", "cleanup", "base_layer", "overlap_frames"}


def test_what_has_no_effect_is_grey(page: Any) -> None:
    """As :func:`stages.runs_diffusion` and the engines have it."""
    add(page, "UpscaleVideo")
    names = [*OF_DENOISING, *OF_ANY_MODEL, "filename_prefix", "crf", "find_cuts", "quality"]
    grey = lambda: set(page.evaluate(GREY, names))  # noqa: E731
    assert grey() == OF_DENOISING, "the restorer alone"
    choose(page, "quality", "fast")
    assert grey() == OF_DENOISING | OF_ANY_MODEL
    choose(page, "quality", "best")
    assert grey() == set()
    choose(page, "quality", "balanced")
    choose(page, "base_layer", "dap")
    assert grey() == OF_DENOISING | {"detail"}
    choose(page, "quality", "best")
    assert grey() == {"detail"}, "what patches add to another network's frames has a strength of its own"
    choose(page, "quality", "balanced")
    choose(page, "base_layer", "bicubic")
    assert grey() == set(), "patches are denoised"
    choose(page, "base_layer", "auto")
    page.evaluate(CONNECT, ["UpscaleModelLoader", 0, "upscale_model"])
    settle(page)
    assert grey() == OF_DENOISING | {"detail"}
    page.evaluate(CONNECT, ["UNETLoader", 0, "model"])
    settle(page)
    assert grey() == {"detail"}, "another model denoises"
    choose(page, "base_layer", "restorer")
    assert grey() == set()


def test_a_video_is_all_that_upscale_video_needs_to_tell_the_size(page: Any) -> None:
    add(page, "UpscaleVideo")
    page.evaluate("""() => {
      const load = LiteGraph.createNode('LoadVideo')
      app.graph.add(load)
      load.widgets[0].value = 'patchvsr_sample.mp4'
      load.connect(0, made, made.findInputSlot('video'))
    }""")
    said = "() => made.widgets.find((w) => w.name === 'patchvsr_forecast').element.innerText"
    page.wait_for_function(f"{said}.startsWith('960x400')")
    choose(page, "quality", "fast")
    assert page.evaluate(said).startswith("960x400 · real-time network alone")
    choose(page, "target", "1440p")
    warned = "() => [...made.widgets.find((w) => w.name === 'patchvsr_forecast').element.querySelectorAll('div')]"
    warned += ".filter((row) => row.style.color.includes('error')).map((row) => row.innerText)"
    assert page.evaluate(said).startswith("2560x1066")
    assert page.evaluate(warned) == ["10.7 times as large as the clip: more than 8 times invents most of the picture."]
    choose(page, "target", "4x")
    assert page.evaluate(warned) == []


SEARCH = """(word) => {
  const stores = document.querySelector('#vue-app').__vue_app__.config.globalProperties.$pinia._s
  return stores.get('nodeDef').nodeSearchService.searchNode(word, [], { limit: 3 }).map((node) => node.name)
}"""
FOUND = {
    "UpscaleVideo": ["upscale", "video upscale", "4k", "restore", "super resolution", "deflicker", "interlace"],
    "RefineFidelity": ["enhance"],
    "JointModulationMerger": ["denoise"],
    "DetailGuidance": ["sharpen"],
    "PatchPlanner": ["tile"],
    "FlowPropagation": ["deflicker"],
}
"""Nodes that have to be among the first three for what people type."""


@pytest.mark.parametrize(("node", "word"), [(node, word) for node, words in FOUND.items() for word in words])
def test_people_find_what_they_look_for(page: Any, node: str, word: str) -> None:
    assert f"PatchVSR_{node}" in page.evaluate(SEARCH, word)


def test_own_sockets_have_colours_of_their_own(page: Any) -> None:
    settle(page)
    kinds = [f"PATCHVSR_{kind}" for kind in ("PLAN", "PATCH_COND", "GLOBAL_CONTEXT", "TILES", "FLOW")]
    colors = page.evaluate("(kinds) => kinds.map((kind) => LGraphCanvas.link_type_colors[kind])", kinds)
    assert len(set(colors)) == 5 and all(colors)
    style = "(kind) => getComputedStyle(document.documentElement).getPropertyValue(`--color-datatype-${kind}`)"
    assert [page.evaluate(style, kind) for kind in kinds] == colors
