"""Takes subgraphs out of a saved workflow: what is behind a node comes in its place, as in what the frontend queues."""

from __future__ import annotations

import json
from typing import Any

INPUTS, OUTPUTS = -10, -20
"""Ids by which links inside name the edges of a subgraph."""
Saved = dict[str, Any]


def flattened(workflow: Saved) -> Saved:
    """The workflow without subgraphs; ids of nodes from inside are those of the frontend's prompts, ``outside:inside``.

    What a widget of a subgraph's node stands for has its value in ``promoted``. Subgraphs in subgraphs are not known.
    """
    definitions = {one["id"]: one for one in workflow.get("definitions", {}).get("subgraphs", [])}
    if not definitions:
        return workflow
    flat = json.loads(json.dumps(workflow))
    hosts = [node for node in flat["nodes"] if node["type"] in definitions]
    for host in hosts:
        _open(flat, host, definitions[host["type"]])
    _number_links(flat)
    return flat


def _open(flat: Saved, host: Saved, definition: Saved) -> None:
    """Put the nodes of a definition in the place of its node."""

    def name(number: int) -> str:
        return f"{host['id']}:{number}"

    inside = {node["id"]: {**json.loads(json.dumps(node)), "id": name(node["id"])} for node in definition["nodes"]}
    fed = {socket["name"]: socket["link"] for socket in host["inputs"]}
    outside = {link[0]: link for link in flat["links"]}
    made, leaving = [], {}
    for link in definition["links"]:
        source = [name(link["origin_id"]), link["origin_slot"]]
        if link["target_id"] == OUTPUTS:
            leaving[link["target_slot"]] = source
            continue
        if link["origin_id"] == INPUTS:
            socket = definition["inputs"][link["origin_slot"]]["name"]
            if fed.get(socket) is None:
                node = inside[link["target_id"]]
                widget = node["inputs"][link["target_slot"]]["name"]
                node.setdefault("promoted", {})[widget] = host["widgets_values_named"][socket]
                continue
            source = outside[fed[socket]][1:3]
        made.append([0, *source, name(link["target_id"]), link["target_slot"], link["type"]])
    kept = [link for link in flat["links"] if link[3] != host["id"]]
    for link in kept:
        if link[1] == host["id"]:
            link[1:3] = leaving[link[2]]
    flat["links"] = kept + made
    flat["nodes"] = [node for node in flat["nodes"] if node is not host] + list(inside.values())


def _number_links(flat: Saved) -> None:
    nodes = {node["id"]: node for node in flat["nodes"]}
    for node in flat["nodes"]:
        for socket in node.get("inputs", []):
            socket["link"] = None
        for socket in node.get("outputs", []):
            socket["links"] = []
    for number, link in enumerate(flat["links"], 1):
        link[0] = number
        nodes[link[3]]["inputs"][link[4]]["link"] = number
        nodes[link[1]]["outputs"][link[2]]["links"].append(number)
