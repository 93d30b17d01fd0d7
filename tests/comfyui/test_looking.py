"""Patch Preview and strength maps in a real ComfyUI, on the sample clip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from comfyui_server import Graph, Server, api_graph, assert_success, changed, key, pictures

from patchvsr_core.plan.canvas import Canvas
from patchvsr_core.plan.planner import plan_patches
from patchvsr_core.plan.positions import Position, list_positions
from patchvsr_core.video import VideoWriter, read_clip

WORKFLOWS = Path(__file__).parents[2] / "example_workflows"
LEVEL = 1.01 / 255
FRAMES, SOURCE, SIZE = 6, (64, 96), (256, 384)
PATCH_PX, FADE_PX = 128, 32
REACH_PX = 24
"""How far the refiner looks across a border."""
FINISHING = ("source", "refine_strength", "rounds", "fidelity", "detail", "cleanup")
"""Inputs that Patch Preview has in common with Refine & Fidelity."""


@pytest.fixture(scope="module")
def clip(base_folder: Any) -> torch.Tensor:
    """A part of the sample with a face in it, kept without loss."""
    sample = read_clip(base_folder / "input" / "patchvsr_sample.mp4")
    frames = sample.frames[:FRAMES, 4:68, 70:166]
    path = base_folder / "input" / "face.mkv"
    with VideoWriter(path, SOURCE, range(FRAMES), 1 / sample.info.fps, fps=sample.info.fps, codec="ffv1") as writer:
        writer.write(frames)
    return read_clip(path).frames


@pytest.fixture(scope="module")
def graph(server: Server, clip: torch.Tensor) -> Graph:
    found = api_graph(json.loads((WORKFLOWS / "patchvsr_tiny.json").read_text()), server.get("/object_info"))
    for name in ("CreateVideo", "SaveVideo", "PreviewImage"):
        while any(entry["class_type"] == name for entry in found.values()):
            del found[key(found, name)]
    found["png"] = save([key(found, "PatchVSR_RefineFidelity"), 0], "looked_whole")
    found["blended"] = save([key(found, "PatchVSR_Blender"), 0], "looked_at_blended")
    found = changed(found, "LoadVideo", file="face.mkv")
    found = changed(found, "PatchVSR_JointModulationMerger", patches_at_once=1)
    return changed(found, "PatchVSR_PatchPlanner", patch_px=PATCH_PX, scale=4.0)


def save(images: list[Any], prefix: str) -> Graph:
    return {"class_type": "SaveImage", "inputs": {"images": images, "filename_prefix": prefix}}


@pytest.fixture(scope="module")
def whole(server: Server, graph: Graph) -> Any:
    return assert_success(server.run(graph))


def place_of(number: int) -> Position:
    canvas = Canvas(FRAMES, SOURCE, SIZE)
    plan = plan_patches(canvas, patch_px=PATCH_PX, layout="overlapping", window_frames=8, overlap_frames=2)
    return list_positions(plan)[number - 1]


def difference(server: Server, graph: Graph, whole: Any, **chosen: Any) -> torch.Tensor:
    """Patch Preview against the same patch of the whole run, in levels of 255."""
    number = 6
    sampler = graph[key(graph, "PatchVSR_PatchSampler")]["inputs"]
    finish = graph[key(graph, "PatchVSR_RefineFidelity")]["inputs"]
    vae = graph[key(graph, "PatchVSR_PatchPlanner")]["inputs"]["vae"]
    copy = {name: entry for name, entry in graph.items() if name not in ("png", "blended")}
    inputs = {**sampler, "vae": vae, "patch": number, "first_frame": 2, "frames": 2}
    inputs |= {name: finish[name] for name in FINISHING} | {"neighbours": False}
    copy["look"] = {"class_type": "PatchVSR_PatchPreview", "inputs": {**inputs, **chosen}}
    copy["patch"] = save(["look", 1], f"patch {chosen}")
    entry = assert_success(server.run(copy))
    assert len(entry["outputs"]["look"]["images"]) == 2, "it shows what it made, frame by frame"
    place = place_of(number)
    rows, columns = slice(place.y, place.y + place.height), slice(place.x, place.x + place.width)
    full = pictures(server, whole)[2:4, rows, columns]
    return (pictures(server, entry, "patch") - full).abs()


def test_a_patch_is_that_of_the_whole_run(server: Server, graph: Graph, whole: Any) -> None:
    alone = difference(server, graph, whole)
    inner = slice(FADE_PX + REACH_PX, -FADE_PX - REACH_PX)
    assert alone[:, inner, inner].max() <= LEVEL
    assert difference(server, graph, whole, neighbours=True).max() <= LEVEL


def test_what_a_map_protects_is_the_base_layer_and_the_rest_is_unchanged(
    server: Server, base_folder: Any, graph: Graph, whole: Any
) -> None:
    """Written as a picture, loaded by ComfyUI's own node."""
    strength = torch.ones(SIZE)
    strength[40:200, 100:300] = 0
    cv2.imwrite(str(base_folder / "input" / "map.png"), (strength.numpy() * 255).astype(np.uint8))
    inside = (strength == 0).expand(FRAMES, -1, -1)
    untouched = changed(graph, "PatchVSR_ApplyPatchVSR", fidelity=1.0)
    base = pictures(server, assert_success(server.run(untouched)), "blended")
    loaded = {"class_type": "LoadImageMask", "inputs": {"image": "map.png", "channel": "red"}}
    for kind, seen in (("PatchVSR_ApplyPatchVSR", "blended"), ("PatchVSR_RefineFidelity", "png")):
        copy = changed({**graph, "map": loaded}, kind, strength_map=["map", 0])
        held = pictures(server, assert_success(server.run(copy)), seen)
        plain = pictures(server, whole, seen)
        assert (held - base)[inside].abs().max() <= LEVEL
        assert torch.equal(held[~inside], plain[~inside])
        assert (plain - base)[inside].abs().max() > 10 * LEVEL, "there is something to protect it from"
