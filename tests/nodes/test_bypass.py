"""Bypassing a node that the rest relies on is said, before work is done in vain."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from fakes import ROOT
from fakes.workflow import Workflow


@pytest.fixture(scope="module")
def prompt(pack: Any) -> dict[str, Any]:
    from fakes.core_nodes import CORE_NODES

    info = json.loads(json.dumps({**CORE_NODES, **pack.object_info()}))
    return Workflow.read(ROOT / "example_workflows" / "patchvsr_tiny.json").prompt(info)


def bypassed(prompt: dict[str, Any], kind: str, by: str) -> dict[str, Any]:
    """As the frontend queues it: what a node would give is taken from its input ``by``."""
    graph = json.loads(json.dumps(prompt))
    (key,) = (key for key, entry in graph.items() if entry["class_type"] == f"PatchVSR_{kind}")
    source = graph.pop(key)["inputs"][by]
    for entry in graph.values():
        entry["inputs"] = {
            name: source if isinstance(link, list) and link[0] == key else link
            for name, link in entry["inputs"].items()
        }
    return graph


@pytest.fixture
def bypass(pack: Any) -> Any:
    return pack.part("nodes.bypass")


def test_a_whole_graph_is_fine(prompt: dict[str, Any], bypass: Any) -> None:
    bypass.check_blended(prompt, "image")
    bypass.check_conditioned(prompt)
    bypass.check_blended(None, "image")


@pytest.mark.parametrize("frames", ["image", "decoded"])
def test_a_bypassed_blender_is_named(prompt: dict[str, Any], bypass: Any, pack: Any, frames: str) -> None:
    graph = bypassed(prompt, "Blender", "image")
    for entry in graph.values():
        if entry["class_type"] == "PatchVSR_RefineFidelity":
            entry["inputs"][frames] = entry["inputs"].pop("image")
    with pytest.raises(pack.part("patchvsr_core.errors").PlanError, match="Blender is bypassed or not connected"):
        bypass.check_blended(graph, frames)


def test_a_bypassed_condition_is_named(prompt: dict[str, Any], bypass: Any, pack: Any) -> None:
    graph = bypassed(prompt, "ApplyPatchVSR", "model")
    with pytest.raises(pack.part("patchvsr_core.errors").PlanError, match="Apply PatchVSR is bypassed"):
        bypass.check_conditioned(graph)


def test_nodes_look_before_they_work(prompt: dict[str, Any], pack: Any, tiny: Any, monkeypatch: Any) -> None:
    error = pack.part("patchvsr_core.errors").PlanError
    sampler, refine = pack["PatchSampler"], pack["RefineFidelity"]
    for node in (sampler, refine):
        assert [wanted.name for wanted in node.GET_SCHEMA().hidden] == ["prompt"]
    monkeypatch.setattr(sampler.hidden, "prompt", bypassed(prompt, "ApplyPatchVSR", "model"))
    guider = type("Guider", (), {"model_patcher": tiny.model})()
    with pytest.raises(error, match="Apply PatchVSR"):
        sampler.execute(None, guider, None, None, None, None)
    monkeypatch.setattr(refine.hidden, "prompt", bypassed(prompt, "Blender", "image"))
    with pytest.raises(error, match="Blender"):
        refine.execute(None, None, 1.0, 8, 1.0, 0.0, 1.0)


@pytest.mark.parametrize(("node", "frames"), [("RefineFidelity", "image"), ("ConditionalRefiner", "decoded")])
def test_dropped_transparency_is_said_on_the_node(pack: Any, node: str, frames: str) -> None:
    clip, large = torch.rand(2, 8, 8, 4), torch.rand(2, 16, 16, 4)
    schema = pack[node].GET_SCHEMA()
    values = {socket.id: socket.default for socket in schema.inputs if socket.default is not None}
    values |= {frames: large, "rounds": 1}
    values |= {"refiner": "tiny (shipped)"} if node == "ConditionalRefiner" else {}
    strength = next(name for name in ("refine_strength", "strength") if name in values)
    for source, said in ((clip, True), (clip[..., :3], False)):
        done = pack[node].execute(**{**values, "source": source, strength: 0.0})
        assert done[0].shape == (2, 16, 16, 3)
        assert ("transparency, which the single nodes drop" in str(done.ui)) == said
