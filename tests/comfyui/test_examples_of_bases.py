"""The examples for other bases: core's own loaders read small random files, and every node runs to the end."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from comfyui_server import Graph, Server, api_graph, assert_success
from frontend.browser import missing, open_frontend

from patchvsr_core.video import VideoWriter, read_clip

WORKFLOWS = Path(__file__).parents[2] / "example_workflows"
EXAMPLES = ("seedvr2", "seedvr2_4k", "wan22_5b", "ltx", "image_flux")
FRAMES, SOURCE, SCALE, PATCH_PX = 5, (24, 32), 4, 64


def saved(name: str) -> Graph:
    return json.loads((WORKFLOWS / f"patchvsr_{name}.json").read_text())


@pytest.fixture(scope="module")
def object_info(server: Server) -> Graph:
    return server.get("/object_info")


@pytest.fixture(scope="module", autouse=True)
def inputs(base_folder: Path) -> None:
    """A clip and a picture of which a patch is a part."""
    folder = base_folder / "input"
    sample = read_clip(folder / "patchvsr_sample.mp4")
    frames = sample.frames[:FRAMES, 20:, 60:][:, : SOURCE[0], : SOURCE[1]]
    with VideoWriter(
        folder / "tiny.mkv", SOURCE, range(FRAMES), 1 / sample.info.fps, fps=sample.info.fps, codec="ffv1"
    ) as writer:
        writer.write(frames)
    cv2.imwrite(str(folder / "example.png"), (frames[0].flip(-1) * 255).byte().numpy())


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_runs_through_the_loaders_of_core(server: Server, base_folder: Path, object_info: Graph, name: str) -> None:
    graph = api_graph(saved(name), object_info)
    for entry in graph.values():
        if entry["class_type"] == "LoadVideo":
            entry["inputs"]["file"] = "tiny.mkv"
        if "patch_px" in entry["inputs"]:
            entry["inputs"]["patch_px"] = PATCH_PX
    before = len(server.log.read_text())
    entry = assert_success(server.run(graph))
    assert "Traceback" not in server.log.read_text()[before:]
    prefix = next(e["inputs"]["filename_prefix"] for e in graph.values() if "filename_prefix" in e["inputs"])
    made = [one for output in entry["outputs"].values() for one in output.get("images", [])]
    (made,) = [one for one in made if one["type"] == "output"]
    assert f"{made['subfolder']}/{made['filename']}".strip("/").startswith(prefix)
    path = base_folder / "output" / made["subfolder"] / made["filename"]
    size = (SCALE * SOURCE[0], SCALE * SOURCE[1], 3)
    if path.suffix == ".png":
        assert cv2.imread(str(path)).shape == size
    else:
        assert read_clip(path).frames.shape == (FRAMES, *size)


@pytest.fixture(scope="module")
def page(server: Server):
    if missing() is not None:
        pytest.skip(f"the frontend tests need {missing()}")
    with open_frontend(f"http://127.0.0.1:{server.port}") as page:
        yield page


def red_nodes(page, workflow: Graph) -> list[str]:
    page.evaluate("(workflow) => app.loadGraphData(workflow)", workflow)
    return sorted(page.evaluate("() => app.graph._nodes.filter((n) => n.has_errors).map((n) => n.type)"))


@pytest.mark.browser
@pytest.mark.parametrize("name", EXAMPLES)
def test_it_opens_without_a_red_node_but_for_missing_files(page, object_info: Graph, name: str) -> None:
    without_files = saved(name)
    loaders = [one for one in without_files["nodes"] if one["properties"].get("models")]
    for loader in loaders:
        (model,) = loader["properties"]["models"]
        text = json.dumps(loader).replace(model["name"], f"another_{model['name']}")
        loader.update(json.loads(text))
    assert red_nodes(page, without_files) == sorted(loader["type"] for loader in loaders)
    assert red_nodes(page, saved(name)) == []
    queued = json.loads(page.evaluate("async () => JSON.stringify((await app.graphToPrompt()).output)"))
    expected = api_graph(saved(name), object_info)
    assert queued.keys() == expected.keys()
    for key, one in expected.items():
        assert queued[key]["class_type"] == one["class_type"]
        assert queued[key]["inputs"] | one["inputs"] == queued[key]["inputs"], one["class_type"]
    assert page.script_errors == []
