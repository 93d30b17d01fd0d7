"""Reads workflows as the frontend saves them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .pack import ROOT
from .subgraphs import flattened

EXAMPLES = sorted((ROOT / "example_workflows").rglob("*.json"))
"""Those that the template browser lists, and the special ones in a folder that it does not look into."""
SAVED = sorted((ROOT / "tests" / "fixtures" / "workflows").glob("*.json"))
"""By earlier versions: the example workflows of every shape that a node ever had."""
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
ONLY_IN_THE_FRONTEND = {"Note", "MarkdownNote"}
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
CHOICE = "COMFY_DYNAMICCOMBO_V3"
CONTROLS = {"control_after_generate", "fixed"}
"""Names of a seed's control: see :func:`control_of`."""
SEEDS = {"seed", "noise_seed"}
"""Names that get a "control after generate" from the frontend, unless the schema says otherwise."""


def example(name: str) -> Path:
    """The file of an example workflow, wherever it lies."""
    (path,) = (path for path in EXAMPLES if path.stem == name)
    return path


@dataclass(frozen=True)
class Link:
    """From an output of one node to an input of another."""

    source: int | str
    output: int
    target: int | str
    input: int
    type: str


@dataclass(frozen=True)
class Workflow:
    """Nodes as they are in the file, and links; both by id, and without subgraphs. ``text`` is the file."""

    nodes: dict[int | str, dict[str, Any]]
    links: dict[int, Link]
    text: str

    @classmethod
    def read(cls, path: Path) -> Workflow:
        text = path.read_text()
        data = flattened(json.loads(text))
        nodes = {node["id"]: node for node in data["nodes"]}
        return cls(nodes, {number: Link(*rest) for number, *rest in data["links"]}, text)

    def real_nodes(self) -> list[dict[str, Any]]:
        """All but notes."""
        return [node for node in self.nodes.values() if node["type"] not in ONLY_IN_THE_FRONTEND]

    def prompt(self, object_info: Mapping[str, Any]) -> dict[str, Any]:
        """The workflow in API form, as the frontend would queue it."""
        prompt = {}
        for node in self.real_nodes():
            widgets = list(widgets_of(object_info[node["type"]], node.get("widgets_values", [])))
            inputs = {name: value for name, value, spec in widgets if spec is not None} | node.get("promoted", {})
            for socket in node["inputs"]:
                if socket.get("link") is not None:
                    link = self.links[socket["link"]]
                    inputs[socket["name"]] = [str(link.source), link.output]
            prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
        return prompt


def sockets_of(entry: Mapping[str, Any]) -> dict[str, list[Any]]:
    """All inputs of an ``object_info`` entry: required, then optional."""
    return {**entry["input"]["required"], **entry["input"].get("optional", {})}


def widgets_of(entry: Mapping[str, Any], values: list[Any]) -> Iterator[tuple[str, Any, list[Any] | None]]:
    """(name, value, input) of every saved value, in the order in which the frontend saves them.

    The input is None for what the frontend adds of its own: the control of a seed, an upload button.

    Raises:
        ValueError: when there are too few or too many values.
    """
    remaining = list(values)
    yield from _take(sockets_of(entry), remaining)
    if remaining:
        raise ValueError(f"{entry['name']} has values left over: {remaining}")


def _take(sockets: Mapping[str, list[Any]], remaining: list[Any], prefix: str = "") -> Iterator[tuple]:
    for name, (kind, *rest) in sockets.items():
        options = rest[0] if rest else {}
        if not is_widget(kind, options):
            continue
        if not remaining:
            raise ValueError(f"there is no value for {prefix}{name}")
        value = remaining.pop(0)
        yield f"{prefix}{name}", value, [kind, options]
        if kind == CHOICE:
            branch = next(option for option in options["options"] if option["key"] == value)
            yield from _take(branch["inputs"]["required"], remaining, f"{prefix}{name}.")
        if control := control_of(name, kind, options):
            yield control, remaining.pop(0), None
        if options.get("video_upload") or options.get("image_upload"):
            yield "upload", remaining.pop(0), None


def control_of(name: str, kind: Any, options: Mapping[str, Any]) -> str | None:
    """What the frontend calls the control that it adds to a seed: by its default, where the schema gives one."""
    control = options.get("control_after_generate", name in SEEDS and kind == "INT")
    return control if isinstance(control, str) else "control_after_generate" if control else None


def is_ours(node: Mapping[str, Any]) -> bool:
    """Whether a node of a saved workflow is one of this pack."""
    return node["type"].startswith("PatchVSR_")


def is_widget(kind: Any, options: Mapping[str, Any]) -> bool:
    """Whether the frontend makes a widget of an input, so that its value is saved in a workflow."""
    return (isinstance(kind, list) or kind in WIDGETS or kind == CHOICE) and not options.get("forceInput")


def allowed(value: Any, kind: Any, options: Mapping[str, Any]) -> bool:
    """Whether a widget can hold ``value``."""
    if isinstance(kind, list) or kind == "COMBO":
        return value in (kind if isinstance(kind, list) else options["options"])
    if kind == CHOICE:
        return value in [option["key"] for option in options["options"]]
    if kind in ("INT", "FLOAT"):
        is_number = isinstance(value, int) or (kind == "FLOAT" and isinstance(value, float))
        return is_number and options.get("min", value) <= value <= options.get("max", value)
    return isinstance(value, str if kind == "STRING" else bool)
