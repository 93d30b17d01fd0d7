"""The example workflows in ComfyUI's own frontend, before a server that knows only our nodes and a few of its own."""

import json
import re

import pytest
from fakes.core_nodes import CORE_NODES
from fakes.subgraphs import flattened
from fakes.workflow import EXAMPLES, ONLY_IN_THE_FRONTEND, Workflow
from frontend.browser import missing, open_frontend, rest, static_folder
from frontend.stub_server import StubServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing() is not None, reason=f"the frontend tests need {missing()}"),
]
WEB = EXAMPLES[0].parents[1] / "web"
COMPLAINT = re.compile("missing (node|media|model)", re.IGNORECASE)


@pytest.fixture(scope="module")
def object_info(pack):
    info = {**CORE_NODES, **pack.object_info()}
    adapters = info["PatchVSR_LoadAdapter"]["input"]["required"]["adapter_name"][1]
    adapters["options"] = ["patchvsr_wan21_1p3b.safetensors"]  # a user's own
    return info


@pytest.fixture(scope="module")
def page(object_info):
    with StubServer(static_folder(), object_info, web=WEB) as server, open_frontend(server.address, width=2000) as page:
        yield page


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture(scope="module")
def saved(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def loaded(page, saved):
    """The page with the example in it."""
    page.evaluate("(workflow) => app.loadGraphData(workflow)", saved)
    rest(page)
    return page


@pytest.fixture(scope="module")
def back(loaded):
    """What the frontend would save and queue: ``workflow`` and ``output``."""
    return json.loads(loaded.evaluate("async () => JSON.stringify(await app.graphToPrompt())"))


def test_no_node_is_missing(loaded, saved):
    nodes = loaded.evaluate("() => app.graph._nodes.map((n) => [n.type, !!n.has_errors, n.constructor.nodeData?.name])")
    assert len(nodes) == len(saved["nodes"])
    subgraphs = {one["id"] for one in saved.get("definitions", {}).get("subgraphs", [])}
    for kind, has_errors, registered_as in nodes:
        assert not has_errors, kind
        assert kind in ONLY_IN_THE_FRONTEND | subgraphs or registered_as == kind


def test_the_frontend_raises_no_error(loaded):
    assert loaded.script_errors == []
    assert loaded.get_by_text(COMPLAINT).count() == 0


def test_no_link_is_dropped(back, saved):
    assert sorted(map(tuple, back["workflow"]["links"])) == sorted(map(tuple, saved["links"]))
    ids = {reroute["id"] for reroute in saved["extra"].get("reroutes", [])}
    assert {reroute["id"] for reroute in back["workflow"]["extra"].get("reroutes", [])} == ids


def test_every_widget_value_survives(back, saved):
    after = {node["id"]: node for node in back["workflow"]["nodes"]}
    for node in saved["nodes"]:
        assert after[node["id"]].get("widgets_values") == node.get("widgets_values"), node["type"]
        assert after[node["id"]]["pos"] == node["pos"], node["type"]
        assert after[node["id"]]["properties"].get("models") == node["properties"].get("models"), node["type"]


def test_the_prompt_has_every_required_input(back, saved, object_info):
    expected = [node["type"] for node in flattened(saved)["nodes"] if node["type"] not in ONLY_IN_THE_FRONTEND]
    assert sorted(entry["class_type"] for entry in back["output"].values()) == sorted(expected)
    for entry in back["output"].values():
        required = set(object_info[entry["class_type"]]["input"]["required"])
        assert required <= set(entry["inputs"]), entry["class_type"]
        assert None not in entry["inputs"].values(), entry


def test_the_prompt_is_the_one_that_the_other_tests_read(back, path, object_info):
    """``fakes.workflow`` turns a file into a prompt without a browser; both must agree."""
    ours = Workflow.read(path).prompt(json.loads(json.dumps(object_info)))
    for number, entry in back["output"].items():
        inputs = {name: value for name, value in entry["inputs"].items() if name != "video-preview"}
        assert (entry["class_type"], inputs) == (ours[number]["class_type"], ours[number]["inputs"])


CLIPPED = """() => app.graph._nodes.flatMap((node) => {
    const [width, height] = node.computeSize()
    return node.size[0] >= width && node.size[1] >= height ? [] : [[node.type, [...node.size], [width, height]]]
})"""
OVERLAPPING = """() => {
    const boxes = app.graph._nodes.map((node) => [node.title, node.getBounding(new Float32Array(4))])
    return boxes.flatMap(([one, a], k) => boxes.slice(k + 1).flatMap(([other, b]) =>
        a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3] ? [[one, other]] : []))
}"""
CUT_NOTES = """() => app.graph._nodes.filter((node) => node.type === 'MarkdownNote').flatMap((node) => {
    const { element } = node.widgets[0], lines = element.querySelectorAll('p, li, h2')
    const box = element.getBoundingClientRect()
    return [...lines].filter((line) => line.getBoundingClientRect().bottom > box.bottom).map((line) => line.innerText)
})"""


def test_nothing_is_clipped_or_covered(loaded, saved):
    loaded.evaluate("() => Object.assign(app.canvas.ds, { scale: 1, offset: [100, 100] })")
    rest(loaded)
    assert loaded.evaluate(CLIPPED) == []
    assert loaded.evaluate(OVERLAPPING) == []
    assert loaded.evaluate(CUT_NOTES) == []


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_screenshot_can_be_looked_at(loaded, path, theme, tmp_path):
    from PIL import Image

    loaded.evaluate("(theme) => app.extensionManager.setting.set('Comfy.ColorPalette', theme)", theme)
    loaded.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    rest(loaded)
    picture = tmp_path / f"{path.stem}_{theme}.png"
    loaded.screenshot(path=picture)
    with Image.open(picture) as image:
        assert image.size == (2000, 1000)
        assert len(image.convert("P").getcolors()) > 20, "nothing was drawn"
        assert (image.convert("L").resize((1, 1)).getpixel((0, 0)) > 110) == (theme == "light")


def test_the_tests_would_see_a_missing_node(page, saved, object_info):
    """The checks above are worth something only if the frontend reports what is wrong."""
    broken = json.loads(json.dumps(saved))
    real = next(node for node in broken["nodes"] if node["type"] in object_info)
    real["type"] = "PatchVSR_Nonsense"
    page.evaluate("(workflow) => app.loadGraphData(workflow)", broken)
    rest(page)
    errors = page.evaluate("() => app.graph._nodes.filter((n) => n.has_errors).map((n) => n.type)")
    assert errors == ["PatchVSR_Nonsense"]
    assert page.get_by_text(COMPLAINT).count(), "it is there when the frontend rests, as the tests above look then"


def test_a_new_node_has_a_widget_for_every_setting(page, pack):
    """What a user gets who adds a node by hand."""
    for name, node in pack.nodes.items():
        widgets = page.evaluate("(type) => LiteGraph.createNode(type).widgets?.map((w) => [w.name, w.value])", name)
        found = dict(widgets or [])
        for socket in node.GET_SCHEMA().inputs:
            if socket.is_widget and socket.default is not None:
                assert found[socket.id] == socket.default, (name, socket.id)
        titles = page.evaluate("(type) => LiteGraph.registered_node_types[type].title", name)
        assert titles == node.GET_SCHEMA().display_name
