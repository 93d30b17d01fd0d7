"""What will not do in a graph, such as a bypassed node: found in the prompt, before work is done in vain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..patchvsr_core.errors import PlanError
from ..patchvsr_core.hosts.comfy import running_node

Prompt = Mapping[str, Mapping[str, Any]]
"""Nodes by id: ``class_type``, and ``inputs`` whose links are [id, output]."""
WITH_MATTE = ("RefineFidelity", "ConditionalRefiner", "DAPUpscale", "RDGUpscale", "Blender")
"""Nodes whose frames have the transparency of the clip."""
SAMPLERS = ("PatchVSR_PatchSampler", "PatchVSR_PatchPreview")


def check_blended(prompt: Prompt | None, frames: str) -> None:
    """Raise where decoded tiles go nowhere and a finishing node is given the input clip twice.

    Args:
        frames: the input of the finishing node for the upscaled frames.

    Raises:
        PlanError: in one sentence.
    """
    nodes = prompt or {}
    used = {tuple(link) for entry in nodes.values() for link in entry["inputs"].values() if _is_link(link)}
    idle = [key for key in _of_type(nodes, "PatchVSR_PatchDecoder") if (key, 0) not in used]
    twice = [entry for entry in nodes.values() if frames in entry["inputs"] and _is_same(entry["inputs"], frames)]
    if idle and twice:
        raise PlanError(
            "The decoded tiles go nowhere, and the input clip comes here twice: Blender is bypassed or not connected; "
            "use it again, or bypass this node too."
        )


def check_conditioned(prompt: Prompt | None) -> None:
    """Raise where a sampler's model never passed Apply PatchVSR, without which the shipped model knows no patch.

    Raises:
        PlanError: in one sentence.
    """
    nodes, running = prompt or {}, running_node()
    samplers = [key for kind in SAMPLERS for key in _of_type(nodes, kind)]
    for key in [running] if running in samplers else samplers:
        if not any(nodes[part]["class_type"] == "PatchVSR_ApplyPatchVSR" for part in _upstream(nodes, key)):
            raise PlanError(
                "The built-in model is not told what its patches show: Apply PatchVSR is bypassed or not "
                "connected; use it between the model and Joint-Modulation Merger."
            )


def check_matte(prompt: Prompt | None, clip: Any) -> None:
    """Raise where a clip with transparency, (T, h, w, 4), goes from here to Create Video, which takes none.

    Args:
        prompt: the graph, in which the node that was given the clip is running.

    Raises:
        PlanError: in one sentence.
    """
    nodes, running = prompt or {}, running_node()
    if clip.shape[-1] != 4 or running is None:
        return
    for key in _of_type(nodes, "CreateVideo"):
        images = nodes[key]["inputs"].get("images")
        giver = nodes.get(images[0], {}).get("class_type", "") if _is_link(images) else ""
        if giver.removeprefix("PatchVSR_") in WITH_MATTE and running in _upstream(nodes, key):
            raise PlanError(
                "The clip has transparency, which Create Video does not take; put Split Image with Alpha before it, "
                "or use Save Image, which keeps transparency."
            )


def _of_type(nodes: Prompt, kind: str) -> list[str]:
    return [key for key, entry in nodes.items() if entry["class_type"] == kind]


def _upstream(nodes: Prompt, key: str) -> Iterator[str]:
    """Every node from which something comes, each once."""
    seen, open_ = {key}, [key]
    while open_:
        for link in nodes[open_.pop()]["inputs"].values():
            if _is_link(link) and link[0] in nodes and link[0] not in seen:
                seen.add(link[0])
                open_.append(link[0])
                yield link[0]


def _is_link(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def _is_same(inputs: Mapping[str, Any], frames: str) -> bool:
    return _is_link(inputs[frames]) and inputs[frames] == inputs.get("source")
