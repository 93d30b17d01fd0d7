"""Runs single nodes and whole prompts, with the checks that ComfyUI's server makes before it runs any."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

import torch


class Rejected(Exception):
    """The server would refuse the prompt; the message is what the user would read."""


def run_node(node: Any, **inputs: Any) -> tuple[Any, ...]:
    """Check the inputs, fill in the widgets that were not named, and run the node.

    Raises:
        Rejected: when the server would not have run it.
    """
    schema = node.GET_SCHEMA()
    values = {socket.id: socket.default for socket in schema.inputs if socket.default is not None} | inputs
    problems = check_inputs(node, values)
    if problems:
        raise Rejected("; ".join(problems))
    with torch.inference_mode():
        return _locked(node).execute(**values).args


def _locked(node: Any) -> Any:
    """What the server really calls: a copy of the class that can no longer be changed."""

    def refuse(cls: Any) -> None:
        raise AttributeError(f"Cannot modify class attribute 'SCHEMA' on locked class '{cls.__name__}'")

    return type(f"{node.__name__}Clone", (node,), {"GET_SCHEMA": classmethod(refuse)})


def check_inputs(node: Any, inputs: Mapping[str, Any], linked: Collection[str] = ()) -> list[str]:
    """What the server would say against these inputs.

    A node's own check gets None for a widget that is ``linked``: its value is not known yet. Inputs
    that this check names are not held to their ranges; that is the check's job.
    """
    schema = node.GET_SCHEMA()
    own_check = node.__dict__.get("validate_inputs")
    named = inspect.getfullargspec(own_check.__func__).args[1:] if own_check else []
    problems = [f"{name}: there is no such input" for name in inputs if name not in {s.id for s in schema.inputs}]
    for socket in schema.inputs:
        if socket.id not in inputs and not socket.optional:
            problems.append(f"{socket.id}: Required input is missing")
        elif socket.is_widget and socket.id in inputs and socket.id not in linked:
            problems += _check_widget(socket, inputs[socket.id], in_range=socket.id not in named)
    if named and not problems:
        answer = _locked(node).validate_inputs(**{name: None if name in linked else inputs[name] for name in named})
        if answer is not True:
            problems.append(str(answer))
    return problems


def _check_widget(socket: Any, value: Any, in_range: bool) -> list[str]:
    kinds: dict[str, Any] = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool}
    options = socket.options
    if not isinstance(value, kinds.get(socket.io_type, object)):
        return [f"{socket.id}: {value!r} is no {socket.io_type}"]
    if socket.io_type == "COMBO" and value not in options["options"]:
        return [f"{socket.id}: Value not in list"]
    if in_range and "min" in options and value < options["min"]:
        return [f"{socket.id}: Value {value} smaller than min of {options['min']}"]
    if in_range and "max" in options and value > options["max"]:
        return [f"{socket.id}: Value {value} bigger than max of {options['max']}"]
    return []


def run_prompt(prompt: Mapping[str, Any], nodes: Mapping[str, Any], core: Mapping[str, Any]) -> dict[str, tuple]:
    """Run a prompt in API form to the end.

    Args:
        nodes: the pack's node classes by id.
        core: functions in the place of ComfyUI's own nodes, by id; each answers a tuple.

    Returns:
        Outputs per node of the prompt.
    """
    outputs: dict[str, tuple] = {}

    def result(number: str) -> tuple:
        if number not in outputs:
            entry = prompt[number]
            links = {name for name, value in entry["inputs"].items() if isinstance(value, list)}
            inputs = {
                name: result(value[0])[value[1]] if name in links else value for name, value in entry["inputs"].items()
            }
            outputs[number] = _run(entry["class_type"], inputs, links)
        return outputs[number]

    def _run(class_type: str, inputs: dict[str, Any], links: set[str]) -> tuple:
        with torch.inference_mode():
            if class_type in core:
                return core[class_type](**inputs)
            problems = check_inputs(nodes[class_type], inputs, links)
            if problems:
                raise Rejected(f"{class_type}: {'; '.join(problems)}")
            return nodes[class_type].execute(**inputs).args

    for number in prompt:
        result(number)
    return outputs
