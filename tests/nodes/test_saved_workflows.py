"""Workflows that earlier versions saved fit today's nodes; ``tests/frontend`` opens them in a browser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes.workflow import SAVED, Workflow, allowed, is_ours, is_widget, sockets_of
from frozen import entry_of, read

VIDEO = "PatchVSR_UpscaleVideo"
BEFORE_ITS_CONTROL = ["scale", "detail", "cleanup", "seed"]
MOVED = {
    ("PatchVSR_PatchEncoder", "control_after_generate"),
    ("PatchVSR_RefineFidelity", "keep_noise"),
    *((VIDEO, name) for name in read()[VIDEO]["widgets"] if name not in (*BEFORE_ITS_CONTROL, "fixed")),
}
"""Widgets that were elsewhere or had another name; ``web/saved_workflows.js`` takes care of them."""


@pytest.fixture(scope="module")
def object_info(pack: Any) -> dict[str, Any]:
    return json.loads(json.dumps(pack.object_info()))


@pytest.fixture(params=SAVED, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> Workflow:
    return Workflow.read(request.param)


def our_nodes(workflow: Workflow) -> list[dict[str, Any]]:
    return [node for node in workflow.real_nodes() if is_ours(node)]


def test_there_are_some_and_they_are_small() -> None:
    assert len(SAVED) >= 12
    assert sum(path.stat().st_size for path in SAVED) < 400_000


def test_every_node_is_there_or_has_a_replacement(workflow: Workflow, object_info: Any, pack: Any) -> None:
    replaced = {rename.old_node_id for rename in pack.part("nodes.renames").RENAMES}
    kinds = {node["type"] for node in our_nodes(workflow)}
    assert kinds and kinds <= set(object_info) | replaced


def test_links_find_inputs_and_outputs_of_their_type(workflow: Workflow, object_info: Any) -> None:
    for node in our_nodes(workflow):
        info = object_info[node["type"]]
        for socket in node["inputs"]:
            assert sockets_of(info)[socket["name"]][0] == socket["type"], (node["type"], socket)
        for index, output in enumerate(node["outputs"]):
            assert info["output"][index] == output["type"], (node["type"], output)


def displaced(node: dict[str, Any], object_info: Any) -> set[tuple[str, str]]:
    """Widgets whose value the frontend would hand to another one, as it goes by their order."""
    names = entry_of(object_info[node["type"]])["widgets"]
    saved = node.get("widgets_values_named", {})
    return {(node["type"], name) for index, name in enumerate(saved) if names[index : index + 1] != [name]}


def test_values_land_in_the_widgets_that_they_were_saved_for(object_info: Any) -> None:
    found: set[tuple[str, str]] = set()
    for path in SAVED:
        for node in our_nodes(Workflow.read(path)):
            found |= displaced(node, object_info)
    assert found == MOVED


def test_values_are_allowed_where_they_land(workflow: Workflow, object_info: Any) -> None:
    for node in our_nodes(workflow):
        assert list(node.get("widgets_values_named", {}).values()) == node.get("widgets_values", [])
        if displaced(node, object_info):
            continue
        sockets = sockets_of(object_info[node["type"]])
        for name, value in node.get("widgets_values_named", {}).items():
            assert allowed(value, *sockets[name]), (node["type"], name, value)


def test_nothing_that_must_be_connected_is_missing(workflow: Workflow, object_info: Any) -> None:
    for node in our_nodes(workflow):
        linked = {socket["name"] for socket in node["inputs"] if socket["link"] is not None}
        required = object_info[node["type"]]["input"]["required"]
        sockets = {name for name, (kind, options) in required.items() if not is_widget(kind, options)}
        assert sockets <= linked, node["type"]
