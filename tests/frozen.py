"""What saved workflows know of the nodes: ids, inputs, order of widgets, choices, outputs. It is frozen once released.

    python tests/frozen.py

adds what is new to ``tests/fixtures/frozen_nodes.json``, after nodes, inputs, outputs or choices were added. It takes
nothing away, and refuses while something that was frozen is lost.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from fakes.pack import fake_comfyui, load_pack
from fakes.workflow import control_of, is_widget, sockets_of

FILE = Path(__file__).parent / "fixtures" / "frozen_nodes.json"
COMMAND = "python tests/frozen.py"
Entry = Mapping[str, Any]
"""Of a node: ``inputs`` {name: type, or list of choices}, ``widgets`` in order, ``outputs`` [name, type] in order."""


def read() -> dict[str, Entry]:
    """Everything frozen, by id."""
    return json.loads(FILE.read_text())


def entry_of(info: Mapping[str, Any]) -> Entry:
    """A node as it is now.

    Args:
        info: its entry in ``object_info``.
    """
    inputs, widgets = {}, []
    for name, (kind, *rest) in sockets_of(info).items():
        options = rest[0] if rest else {}
        inputs[name] = kind if isinstance(kind, list) else list(options["options"]) if kind == "COMBO" else kind
        if is_widget(kind, options):
            widgets.append(name)
            if control := control_of(name, kind, options):
                widgets.append(control)
    outputs = [list(pair) for pair in zip(info["output_name"], info["output"], strict=True)]
    return {"inputs": inputs, "widgets": widgets, "outputs": outputs}


def losses(name: str, frozen: Entry, info: Mapping[str, Any]) -> list[str]:
    """What a saved workflow would miss, each with what to do instead."""
    now = entry_of(info)
    found = [line for key, kind in frozen["inputs"].items() for line in _lost_input(name, key, kind, now["inputs"])]
    sockets = [key for key in frozen["inputs"] if key in now["inputs"] and key not in frozen["widgets"]]
    if [key for key in now["inputs"] if key in sockets] != sockets:
        found.append(f"{name}: the inputs are in another order; leave them where they were")
    if now["widgets"][: len(frozen["widgets"])] != frozen["widgets"]:
        found.append(
            f"{name}: saved values go to widgets by their order, which was {frozen['widgets']} and is "
            f"{now['widgets']}; put new widgets last, as optional inputs"
        )
    if now["outputs"][: len(frozen["outputs"])] != frozen["outputs"]:
        found.append(
            f"{name}: links leave outputs by their order, which was {frozen['outputs']} and is {now['outputs']}; "
            "put new outputs last"
        )
    added = [key for key in info["input"]["required"] if key not in frozen["inputs"]]
    return found + [f"{name}: saved prompts do not have the input {key}; make it optional" for key in added]


def _lost_input(name: str, key: str, kind: str | list[str], now: Mapping[str, Any]) -> list[str]:
    there = now.get(key)
    if there is None:
        return [f"{name}: the input {key} is gone; keep it"]
    if isinstance(kind, list) and isinstance(there, list):
        gone = [choice for choice in kind if choice not in there]
        return [f"{name}: {key} no longer has the choice {choice!r}; keep it" for choice in gone]
    return [] if there == kind else [f"{name}: the input {key} was {kind} and is {there}; add another input instead"]


def all_losses(frozen: Mapping[str, Entry], object_info: Mapping[str, Any], renames: Sequence[Any] = ()) -> list[str]:
    """What saved workflows would miss of all nodes."""
    found = []
    for name, entry in frozen.items():
        if name in object_info:
            found += losses(name, entry, object_info[name])
            continue
        rename = next((rename for rename in renames if rename.old_node_id == name), None)
        if rename is None:
            found.append(f"{name} is gone; keep the id, or add an io.NodeReplace to RENAMES in nodes/renames.py")
        else:
            found += lost_by_renaming(entry, rename, object_info)
    return found


def lost_by_renaming(frozen: Entry, rename: Any, object_info: Mapping[str, Any]) -> list[str]:
    """What an entry of RENAMES forgets."""
    old, new = rename.old_node_id, rename.new_node_id
    if new not in object_info:
        return [f"{old}: there is no {new} to take its place"]
    now, found = entry_of(object_info[new]), []
    inputs = {pair["old_id"]: pair["new_id"] for pair in rename.input_mapping or () if "old_id" in pair}
    for key, kind in frozen["inputs"].items():
        there = now["inputs"].get(inputs.get(key))
        if _type(there) != _type(kind):
            found.append(f"{old}: input_mapping leads its input {key} ({kind}) to no such input of {new}")
    if (rename.old_widget_ids or []) != frozen["widgets"]:
        found.append(f"{old}: old_widget_ids must be {frozen['widgets']}")
    outputs = {pair["old_idx"]: pair["new_idx"] for pair in rename.output_mapping or ()}
    for index, (key, kind) in enumerate(frozen["outputs"]):
        there = dict(enumerate(now["outputs"])).get(outputs.get(index, -1), [None, None])
        if there[1] != kind:
            found.append(f"{old}: output_mapping leads its output {index} ({key}, {kind}) to no such output of {new}")
    return found


def _type(kind: str | list[str] | None) -> str | None:
    return "COMBO" if isinstance(kind, list) else kind


def unfrozen(frozen: Mapping[str, Entry], object_info: Mapping[str, Any]) -> list[str]:
    """Nodes of which something is not frozen yet."""
    return [name for name, info in object_info.items() if frozen.get(name) != entry_of(info)]


def main() -> None:
    """Freeze what is new."""
    with fake_comfyui():
        pack = load_pack()
        object_info = json.loads(json.dumps(pack.object_info()))
        frozen = read() if FILE.exists() else {}
        lost = all_losses(frozen, object_info, pack.part("nodes.renames").RENAMES)
    if lost:
        sys.exit("\n".join(lost))
    new = unfrozen(frozen, object_info)
    entries = frozen | {name: entry_of(object_info[name]) for name in new}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entries[name])}" for name in sorted(entries))
    FILE.write_text(f"{{\n{lines}\n}}\n")
    print(f"{FILE.name}: {len(entries)} nodes; new or grown: {', '.join(new) or 'none'}")


if __name__ == "__main__":
    main()
