"""Runs single nodes and whole prompts, with the checks that ComfyUI's server makes before it runs any."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from itertools import chain
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
    if schema.is_input_list:
        values = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
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
    """Run a prompt in API form to the end; a node after one that answers a list runs once for each of its values.

    Args:
        nodes: the pack's node classes by id.
        core: functions in the place of ComfyUI's own nodes, by id; each answers a tuple.

    Returns:
        Outputs per node of the prompt; a list where the node ran several times, or answers one.
    """
    outputs: dict[str, list[list[Any]]] = {}

    def result(number: str) -> list[list[Any]]:
        if number not in outputs:
            entry = prompt[number]
            links = {name for name, value in entry["inputs"].items() if isinstance(value, list)}
            inputs = {
                name: result(value[0])[value[1]] if name in links else [value]
                for name, value in entry["inputs"].items()
            }
            outputs[number] = _run(entry["class_type"], inputs, links)
        return outputs[number]

    def _run(class_type: str, inputs: dict[str, list[Any]], links: set[str]) -> list[list[Any]]:
        with torch.inference_mode():
            if class_type in core:
                return _per_output([core[class_type](**values) for values in _mapped(inputs)])
            schema, execute = nodes[class_type].GET_SCHEMA(), nodes[class_type].execute
            for values in _mapped(inputs):
                problems = check_inputs(nodes[class_type], values, links)
                if problems:
                    raise Rejected(f"{class_type}: {'; '.join(problems)}")
            lists = [inputs] if schema.is_input_list else _mapped(inputs)
            answers = _per_output([execute(**values).args for values in lists])
            is_list = [socket.is_output_list for socket in schema.outputs]
            return [
                list(chain.from_iterable(values)) if flat else values
                for values, flat in zip(answers, is_list, strict=True)
            ]

    for number in prompt:
        result(number)
    return {
        number: tuple(values[0] if len(values) == 1 else values for values in answers)
        for number, answers in outputs.items()
    }


def _mapped(inputs: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """The inputs of every run of a node; the last value of a shorter list is taken again."""
    runs = max((len(values) for values in inputs.values()), default=1)
    return [{name: values[min(run, len(values) - 1)] for name, values in inputs.items()} for run in range(runs)]


def _per_output(answers: list[tuple]) -> list[list[Any]]:
    """Values by output and run, out of values by run and output."""
    return [list(values) for values in zip(*answers, strict=True)]
