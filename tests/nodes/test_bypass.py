"""Bypassing a node that the rest relies on is said, before work is done in vain."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from comfyui_server import api_graph
from fakes import ROOT, run_node
from fakes.chain import a_clip, run_chain


@pytest.fixture(scope="module")
def prompt(pack: Any) -> dict[str, Any]:
    from fakes.core_nodes import CORE_NODES

    info = json.loads(json.dumps({**CORE_NODES, **pack.object_info()}))
    with_wires_for_all = ROOT / "tests" / "fixtures" / "workflows" / "2026-11-30_1446617_tiny.json"
    return api_graph(json.loads(with_wires_for_all.read_text()), info)


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


def test_only_the_sampler_at_work_is_looked_at(
    prompt: dict[str, Any], bypass: Any, pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another branch of the graph may have a model that needs no condition."""
    unconditioned = bypassed(prompt, "ApplyPatchVSR", "model")
    graph = prompt | {f"other {key}": _renamed(entry) for key, entry in unconditioned.items()}
    (own,) = (key for key, entry in prompt.items() if entry["class_type"] == "PatchVSR_PatchSampler")
    monkeypatch.setattr(bypass, "running_node", lambda: own)
    bypass.check_conditioned(graph)
    monkeypatch.setattr(bypass, "running_node", lambda: f"other {own}")
    with pytest.raises(pack.part("patchvsr_core.errors").PlanError, match="Apply PatchVSR is bypassed"):
        bypass.check_conditioned(graph)


def _renamed(entry: dict[str, Any]) -> dict[str, Any]:
    inputs = entry["inputs"].items()
    linked = {name: [f"other {link[0]}", link[1]] if isinstance(link, list) else link for name, link in inputs}
    return entry | {"inputs": linked}


def test_nodes_look_before_they_work(prompt: dict[str, Any], pack: Any, tiny: Any, monkeypatch: Any) -> None:
    error = pack.part("patchvsr_core.errors").PlanError
    sampler, refine = pack["PatchSampler"], pack["RefineFidelity"]
    for node in (sampler, refine):
        assert "prompt" in [wanted.name for wanted in node.GET_SCHEMA().hidden]
    monkeypatch.setattr(sampler.hidden, "prompt", bypassed(prompt, "ApplyPatchVSR", "model"))
    guider = type("Guider", (), {"model_patcher": tiny.model})()
    with pytest.raises(error, match="Apply PatchVSR"):
        sampler.execute(None, guider, None, None, None, None)
    monkeypatch.setattr(refine.hidden, "prompt", bypassed(prompt, "Blender", "image"))
    with pytest.raises(error, match="Blender"):
        refine.execute(None, None, 1.0, 8, 1.0, 0.0, 1.0)


@pytest.mark.parametrize(("node", "frames"), [("RefineFidelity", "image"), ("ConditionalRefiner", "decoded")])
def test_transparency_comes_through_the_single_nodes(pack: Any, node: str, frames: str) -> None:
    clip, large = torch.rand(2, 8, 8, 4), torch.rand(2, 16, 16, 4)
    clip[..., 3] = torch.linspace(0, 1, 8)
    schema = pack[node].GET_SCHEMA()
    values = {socket.id: socket.default for socket in schema.inputs if socket.default is not None}
    values |= {frames: large, "rounds": 1}
    values |= {"refiner": "tiny (shipped)"} if node == "ConditionalRefiner" else {}
    strength = next(name for name in ("refine_strength", "strength") if name in values)
    (opaque,) = pack[node].execute(**{**values, "source": clip[..., :3], strength: 0.0}).args
    (result,) = pack[node].execute(**{**values, "source": clip, strength: 0.0}).args
    assert torch.equal(result[..., :3], opaque) and opaque.shape == (2, 16, 16, 3)
    matte = result[0, 8, :, 3]
    assert matte[0] < 0.1 and matte[-1] > 0.9 and (matte.diff() > -0.01).all()


def test_blender_gives_the_transparency_of_the_clip_that_is_connected(pack: Any, tiny: Any) -> None:
    chain = run_chain(pack, tiny, a_clip())
    clip = torch.cat([a_clip(), torch.full((*a_clip().shape[:3], 1), 0.25)], -1)
    (result,) = run_node(pack["Blender"], tiles=chain.tiles, color_fix="none", image=clip)
    assert torch.equal(result[..., :3], chain.blended) and torch.allclose(result[..., 3], torch.tensor(0.25), atol=1e-3)


def ends_in_create_video(kind: str, images: str = "last") -> dict[str, Any]:
    """A planner, what gives the frames, and core's node that makes a video of them."""
    return {
        "1:plan": {"class_type": "PatchVSR_PatchPlanner", "inputs": {}},
        "last": {"class_type": kind, "inputs": {"plan": ["1:plan", 0]}},
        "split": {"class_type": "SplitImageWithAlpha", "inputs": {"image": ["last", 0]}},
        "join": {"class_type": "CreateVideo", "inputs": {"images": [images, 0], "fps": 24.0}},
        "other": {"class_type": "PatchVSR_DAPUpscale", "inputs": {}},
    }


@pytest.mark.parametrize("kind", ["RefineFidelity", "ConditionalRefiner", "DAPUpscale", "RDGUpscale", "Blender"])
@pytest.mark.parametrize("key", ["1:plan", "last"])
def test_transparency_that_would_end_in_create_video_is_said_first(
    bypass: Any, pack: Any, monkeypatch: Any, kind: str, key: str
) -> None:
    clip, error = torch.zeros(2, 8, 8, 4), pack.part("patchvsr_core.errors").PlanError
    prompt = ends_in_create_video(f"PatchVSR_{kind}")
    monkeypatch.setattr(bypass, "running_node", lambda: key)
    with pytest.raises(error, match="put Split Image with Alpha before it"):
        bypass.check_matte(prompt, clip)
    bypass.check_matte(prompt, clip[..., :3])
    bypass.check_matte(ends_in_create_video(f"PatchVSR_{kind}", images="split"), clip)
    bypass.check_matte(None, clip)
    monkeypatch.setattr(bypass, "running_node", lambda: "other")
    bypass.check_matte(prompt, clip)


def test_planner_and_networks_look_first(bypass: Any, pack: Any, monkeypatch: Any) -> None:
    error, clip = pack.part("patchvsr_core.errors").PlanError, torch.zeros(2, 8, 8, 4)
    for name, values in (("PatchPlanner", (None, 2.0, 64, "auto", 8, 2)), ("DAPUpscale", ("shipped", 2.0, True))):
        node = pack[name]
        kind = "PatchVSR_RefineFidelity" if name == "PatchPlanner" else "PatchVSR_DAPUpscale"
        monkeypatch.setattr(node.hidden, "prompt", ends_in_create_video(kind))
        monkeypatch.setattr(bypass, "running_node", lambda name=name: "1:plan" if name == "PatchPlanner" else "last")
        with pytest.raises(error, match="Create Video does not take"):
            node.execute(clip, *values)
