"""The subgraph blueprints, from a server that offers them as ComfyUI offers those of a pack."""

import json

import pytest
from fakes.core_nodes import CORE_NODES
from fakes.workflow import BLUEPRINTS
from frontend.browser import missing, open_frontend, static_folder
from frontend.stub_server import StubServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing() is not None, reason=f"the frontend tests need {missing()}"),
]
FRAMES, CLIP = "Upscale", "Video Upscale (PatchVSR Super Resolution)"
TYPES = {FRAMES: "IMAGE", CLIP: "VIDEO"}
NODES = {FRAMES: 14, CLIP: 16}
WIDGETS = ["scale", "detail", "cleanup", "fidelity", "patch_px", "seed", "target"]


@pytest.fixture(scope="module")
def page(pack):
    info = {**CORE_NODES, **pack.object_info()}
    with StubServer(static_folder(), info, BLUEPRINTS) as server, open_frontend(server.address) as page:
        yield page


@pytest.fixture(scope="module", params=TYPES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def added(page, name):
    """The page after a blueprint was searched for and added, as a user would."""
    page.evaluate("() => app.graph.clear()")
    page.evaluate("() => app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    page.keyboard.type(name, delay=20)
    page.wait_for_timeout(1000)
    page.keyboard.press("Enter")
    page.wait_for_timeout(1000)
    if not page.evaluate("() => app.graph._nodes.length"):  # it hangs on the pointer until a click
        page.mouse.click(800, 500)
        page.wait_for_timeout(1000)
    return page


def test_it_is_found_by_its_name_and_added(added, name):
    assert added.evaluate("() => app.graph._nodes.map((node) => node.title)") == [name]
    assert added.script_errors == []


def test_it_has_seven_widgets_one_input_and_one_output(added, name):
    widgets, inputs, outputs = added.evaluate("""() => { const [node] = app.graph._nodes; return [
        node.widgets.map((widget) => widget.name), node.inputs.filter((slot) => !slot.widget).map((slot) => slot.type),
        node.outputs.map((slot) => slot.type)] }""")
    assert widgets == WIDGETS
    assert inputs == outputs == [TYPES[name]]


def test_no_node_is_missing_behind_it(added, name, pack):
    inside = added.evaluate("() => app.graph._nodes[0].subgraph.nodes.map((node) => [node.type, !!node.has_errors])")
    assert {kind for kind, _ in inside} <= set(CORE_NODES) | set(pack.nodes)
    assert len(inside) == NODES[name] and not any(has_errors for _, has_errors in inside)


def test_what_is_set_outside_reaches_the_prompt(added, name):
    values = {"scale": 2, "detail": 0.25, "cleanup": 0.5, "fidelity": 0.75, "patch_px": 128, "seed": 7}
    added.evaluate(
        "(values) => app.graph._nodes[0].widgets.forEach((widget) => { widget.value = values[widget.name] })", values
    )
    prompt = json.loads(added.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)"))
    inputs = {entry["class_type"]: entry["inputs"] for entry in prompt.values()}
    assert len(inputs) == len(prompt) == NODES[name]
    found = {name: inputs["PatchVSR_RefineFidelity"][name] for name in ("detail", "cleanup", "fidelity")}
    found |= {name: inputs["PatchVSR_PatchPlanner"][name] for name in ("scale", "patch_px")}
    assert found | {"seed": inputs["RandomNoise"]["noise_seed"]} == values


def test_a_missing_node_behind_it_would_be_noticed(added):
    """The tests above are worth something only if the frontend reports what is wrong."""
    data = BLUEPRINTS[0].read_text().replace("PatchVSR_PatchDecoder", "PatchVSR_Nonsense")
    added.evaluate("(data) => app.loadGraphData(JSON.parse(data))", data)
    added.wait_for_timeout(500)
    inside = added.evaluate("() => app.graph._nodes[0].subgraph.nodes.map((node) => [node.type, !!node.has_errors])")
    assert ["PatchVSR_Nonsense", True] in inside
