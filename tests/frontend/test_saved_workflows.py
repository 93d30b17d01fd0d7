"""Workflows that earlier versions saved, opened in ComfyUI's own frontend with the pack's script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fakes.core_nodes import CORE_NODES
from fakes.pack import ROOT
from fakes.workflow import CONTROLS, SAVED, Workflow, allowed, is_ours, is_widget, sockets_of
from frontend.browser import missing, open_frontend, static_folder
from frontend.stub_server import StubServer

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing() is not None, reason=f"the frontend tests need {missing()}"),
]
SCRIPT = ROOT / "web" / "saved_workflows.js"
URL = "/extensions/PatchVSR/saved_workflows.js"
IS_RUNNING = "() => app.extensions.some((extension) => extension.name === 'PatchVSR.SavedWorkflows')"
OTHER_NAMES = {("PatchVSR_RefineFidelity", "keep_noise"): lambda keep: ("cleanup", 0 if keep else 1)}
"""What became of widgets, by their old names."""


@pytest.fixture(scope="module")
def object_info(pack: Any) -> dict[str, Any]:
    return json.loads(json.dumps({**CORE_NODES, **pack.object_info()}))


@pytest.fixture(scope="module")
def page(object_info: dict[str, Any]) -> Iterator[Any]:
    with StubServer(static_folder(), object_info) as server, open_frontend(server.address) as page:
        page.route(f"**{URL}", lambda route: route.fulfill(path=SCRIPT, content_type="text/javascript"))
        page.add_script_tag(url=URL, type="module")
        page.wait_for_function(IS_RUNNING)
        yield page


@pytest.fixture(scope="module", params=SAVED, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> Workflow:
    return Workflow.read(request.param)


@pytest.fixture(scope="module")
def prompt(page: Any, workflow: Workflow) -> dict[str, Any]:
    """What would be queued after opening the file."""
    return prompt_of(page, json.loads(workflow.text))


def prompt_of(page: Any, saved: dict[str, Any]) -> dict[str, Any]:
    page.evaluate("(workflow) => app.loadGraphData(workflow)", saved)
    return json.loads(page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)"))


def test_every_node_is_in_the_prompt(prompt: dict[str, Any], workflow: Workflow, page: Any) -> None:
    assert {number: entry["class_type"] for number, entry in prompt.items()} == {
        str(node["id"]): node["type"] for node in workflow.real_nodes()
    }
    assert page.evaluate("() => app.graph._nodes.filter((node) => node.has_errors).map((node) => node.type)") == []
    assert page.script_errors == []


def test_every_saved_value_is_in_its_widget(prompt: dict[str, Any], workflow: Workflow) -> None:
    for node in filter(is_ours, workflow.real_nodes()):
        inputs = prompt[str(node["id"])]["inputs"]
        for name, value in node.get("widgets_values_named", {}).items():
            now = OTHER_NAMES.get((node["type"], name), lambda value, name=name: (name, value))(value)
            if name not in CONTROLS:
                assert inputs[now[0]] == now[1], (node["type"], name)


def test_detail_is_0_in_files_from_before_there_was_such_a_widget(prompt: dict[str, Any], workflow: Workflow) -> None:
    for node in filter(is_ours, workflow.real_nodes()):
        inputs = prompt[str(node["id"])]["inputs"]
        assert "detail" not in inputs or inputs["detail"] == node["widgets_values_named"].get("detail", 0)


@pytest.mark.parametrize("named", [True, False], ids=["by name", "by order alone"])
def test_some_files_are_of_a_time_without_detail(page: Any, named: bool) -> None:
    saved = json.loads(next(path for path in SAVED if path.stem.endswith("214d92a_tiny")).read_text())
    node = next(node for node in saved["nodes"] if node["type"] == "PatchVSR_RefineFidelity")
    node["widgets_values"] = [0.5, 4, 0.75]
    if named:
        node["widgets_values_named"] = dict(zip(("refine_strength", "rounds", "fidelity"), (0.5, 4, 0.75), strict=True))
    else:
        del node["widgets_values_named"]
    inputs = prompt_of(page, saved)[str(node["id"])]["inputs"]
    found = [inputs[name] for name in ("refine_strength", "rounds", "fidelity", "detail", "cleanup")]
    assert found == [0.5, 4, 0.75, 0, 1]


def test_every_link_is_kept(prompt: dict[str, Any], workflow: Workflow) -> None:
    for node in workflow.real_nodes():
        for socket in node["inputs"]:
            if socket["link"] is not None:
                link = workflow.links[socket["link"]]
                assert prompt[str(node["id"])]["inputs"][socket["name"]] == [str(link.source), link.output]


def test_the_server_would_take_it(prompt: dict[str, Any], object_info: dict[str, Any]) -> None:
    for entry in prompt.values():
        if not is_ours({"type": entry["class_type"]}):
            continue
        info = object_info[entry["class_type"]]
        assert set(info["input"]["required"]) <= set(entry["inputs"])
        for name, (kind, options) in sockets_of(info).items():
            if name in entry["inputs"] and is_widget(kind, options):
                assert allowed(entry["inputs"][name], kind, options), (entry["class_type"], name)


def test_a_value_of_an_unknown_widget_is_dropped(page: Any) -> None:
    """As from a version that is newer than this one, with a widget in the middle."""
    saved = json.loads(SAVED[0].read_text())
    planner = next(node for node in saved["nodes"] if node["type"] == "PatchVSR_PatchPlanner")
    named = planner["widgets_values_named"]
    planner["widgets_values_named"] = {"scale": 3, "later": "x", **{key: named[key] for key in list(named)[1:]}}
    planner["widgets_values"] = list(planner["widgets_values_named"].values())
    inputs = prompt_of(page, saved)[str(planner["id"])]["inputs"]
    assert {name: inputs[name] for name in named} == named | {"scale": 3}
    assert "later" not in inputs


VIDEO = "PatchVSR_UpscaleVideo"


@pytest.fixture
def video() -> dict[str, Any]:
    """A workflow from before the seed of Upscale Video had a control."""
    workflow = json.loads(next(path for path in SAVED if path.stem.endswith("abe7972_video")).read_text())
    node = next(node for node in workflow["nodes"] if node["type"] == VIDEO)
    for name, value in (("seed", 7), ("crf", 20), ("color_fix", "lab")):
        node["widgets_values_named"][name] = value
    node["widgets_values"] = list(node["widgets_values_named"].values())
    return workflow


def node_of(workflow: dict[str, Any]) -> dict[str, Any]:
    return next(node for node in workflow["nodes"] if node["type"] == VIDEO)


def control_of_seed(page: Any) -> str:
    return page.evaluate(
        "(type) => app.graph._nodes.find((node) => node.type === type).widgets"
        ".find(({ name }) => name === 'seed').linkedWidgets[0].value",
        VIDEO,
    )


@pytest.mark.parametrize("named", [True, False], ids=["by name", "by order alone"])
def test_a_seed_saved_without_a_control_stays_put(page: Any, video: dict[str, Any], named: bool) -> None:
    node = node_of(video)
    before = dict(node["widgets_values_named"])
    if not named:  # as older versions of the frontend save
        del node["widgets_values_named"]
    inputs = prompt_of(page, video)[str(node["id"])]["inputs"]
    assert {name: inputs[name] for name in before} == before
    assert control_of_seed(page) == "fixed"


@pytest.mark.parametrize("name", ["fixed", "control_after_generate"])
def test_a_control_is_kept_whatever_the_frontend_called_it(page: Any, video: dict[str, Any], name: str) -> None:
    node = node_of(video)
    named = list(node["widgets_values_named"].items())
    node["widgets_values_named"] = dict([*named[:4], (name, "increment"), *named[4:]])
    node["widgets_values"] = list(node["widgets_values_named"].values())
    inputs = prompt_of(page, video)[str(node["id"])]["inputs"]
    assert {key: inputs[key] for key, _ in named} == dict(named)
    assert control_of_seed(page) == "increment"


def test_values_inside_a_subgraph_are_put_in_order_too(page: Any) -> None:
    planner = {
        "type": "PatchVSR_PatchPlanner",
        "widgets_values": ["uniform", 3],
        "widgets_values_named": {"layout": "uniform", "scale": 3},
    }
    workflow = {"nodes": [], "definitions": {"subgraphs": [{"nodes": [planner]}]}}
    script = """(workflow) => {
        app.extensions.find((extension) => extension.name === 'PatchVSR.SavedWorkflows').beforeConfigureGraph(workflow)
        return workflow.definitions.subgraphs[0].nodes[0].widgets_values
    }"""
    assert page.evaluate(script, workflow) == [3, 256, "uniform", 8, 2, "", "custom"]
