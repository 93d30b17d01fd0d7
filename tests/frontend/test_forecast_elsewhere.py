"""What is known of a run stands on the nodes of subgraphs and real-time networks too."""

import json

import pytest
from fakes import ROOT
from fakes.core_nodes import CORE_NODES
from fakes.workflow import example
from frontend.browser import missing, open_frontend, static_folder
from frontend.stub_server import StubServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing() is not None, reason=f"the frontend tests need {missing()}"),
]
SAYS = """([title, begins]) => {
    const node = app.graph._nodes.find((node) => node.title === title)
    const widget = node?.widgets.find((widget) => widget.name === 'patchvsr_forecast')
    return widget?.element.textContent.startsWith(begins) && widget.element.textContent
}"""
CHOOSE = """([title, target]) => {
    const node = app.graph._nodes.find((node) => node.title === title)
    node.widgets.find((widget) => widget.name === 'target').value = target
}"""
ADD = """(type) => {
    app.graph.clear()
    const [video, parts, fast] = ['LoadVideo', 'GetVideoComponents', type].map((kind) => LiteGraph.createNode(kind))
    for (const node of [video, parts, fast]) app.graph.add(node)
    video.connect(0, parts, 0)
    parts.connect(0, fast, 0)
}"""


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "vue"])
def page(pack, request):
    desk = pack.part("nodes.desk")
    options = {
        "web": ROOT / "web",
        "posted": {desk.ROUTE: desk.answer_to},
        "inputs": {"patchvsr_sample.mp4": ROOT / "examples" / "sample.mp4"},
    }
    with StubServer(static_folder(), {**CORE_NODES, **pack.object_info()}, **options) as server:
        server.answers["/settings"]["Comfy.VueNodes.Enabled"] = request.param
        with open_frontend(server.address) as page:
            yield page


def says(page, title, begins):
    """What stands on a node, once it begins so."""
    return page.wait_for_function(SAYS, arg=[title, begins]).json_value()


def test_a_subgraph_shows_the_plan_of_its_planner_and_follows_its_own_widgets(page):
    page.evaluate("(workflow) => app.loadGraphData(workflow)", json.loads(example("patchvsr_simple").read_text()))
    assert "10 patches" in says(page, "Upscale", "960x400")
    host = "app.graph._nodes.find((node) => node.subgraph)"
    page.evaluate(f"() => {{ {host}.widgets.find((widget) => widget.name === 'scale').value = 2.25 }}")
    assert "3 patches" in says(page, "Upscale", "540x225")
    saved = page.evaluate(f"() => JSON.stringify(app.graph.serialize().nodes.find((node) => node.id == {host}.id))")
    assert list(json.loads(saved)["widgets_values_named"])[-1] == "target", "the panel is not saved"
    assert page.script_errors == []


@pytest.mark.parametrize(("node", "title"), [("DAPUpscale", "DAP Upscale"), ("RDGUpscale", "RDG Upscale")])
def test_a_real_time_network_shows_the_size_of_its_result_and_warns(page, node, title):
    page.evaluate(ADD, f"PatchVSR_{node}")
    page.evaluate(CHOOSE, [title, "custom"])  # the frontend keeps values by the ids of nodes, which begin anew
    assert "disk" not in says(page, title, "960x400"), "it writes no file"
    page.evaluate(CHOOSE, [title, "8K"])
    assert "32 times as large" in says(page, title, "7680x3200")
    assert page.script_errors == []
