"""What example workflows, their cards and blueprints say beside the graph."""

import json
import re

import pytest
from fakes.core_nodes import CORE_NODES
from fakes.pack import ROOT
from fakes.workflow import BLUEPRINTS, EXAMPLES, Workflow
from frontend.examples import CARDS, listing

FILES = {
    "UNETLoader": "diffusion_models",
    "VAELoader": "vae",
    "CLIPLoader": "text_encoders",
    "CheckpointLoaderSimple": "checkpoints",
}
MOST_TEMPLATES, LONGEST_TITLE = 12, 34
"""A card has one line for its title."""
OFFICIAL = re.compile(
    r"https://huggingface\.co/(?:Comfy-Org|Lightricks|comfyanonymous)/[\w.-]+/resolve/main/([\w./-]+)"
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_files_are_named_with_folder_and_link(path):
    """On the nodes that load them, for the frontend's dialog, and in the note, for people."""
    workflow = Workflow.read(path)
    (note,) = [node["widgets_values"][0] for node in workflow.nodes.values() if node["type"] == "MarkdownNote"]
    assert "`" not in note, "code in a note is dark blue on dark in Nodes 2.0"
    loaders = [node for node in workflow.real_nodes() if node["type"] in FILES]
    for node in loaders:
        (model,) = node["properties"]["models"]
        directory = FILES[node["type"]]
        assert model["name"] == node["widgets_values"][0] and model["directory"] == directory
        file = OFFICIAL.fullmatch(model["url"])[1]
        assert file.endswith(f"{directory}/{model['name']}") or file == model["name"]
        assert f"[{model['name']}]({model['url']}) in *models/{directory}*" in note


def test_the_template_browser_lists_twelve_at_most_and_says_what_each_is():
    folder = ROOT / "example_workflows"
    listed = {path.stem for path in folder.glob("*.json")}
    assert listed == set(CARDS) == {path.stem for path in folder.glob("*.jpg")} and len(listed) <= MOST_TEMPLATES
    assert json.loads((ROOT / "web" / "templates.json").read_text()) == listing(), "run make_workflows.py"
    for card in CARDS.values():
        assert len(card.title) <= LONGEST_TITLE and card.description.endswith(".") and card.tags


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_is_one_node_with_seven_widgets(path, pack):
    data = json.loads(path.read_text())
    (host,), (definition,) = data["nodes"], data["definitions"]["subgraphs"]
    assert host["type"] == definition["id"] and host["title"] == definition["name"] == path.stem
    assert list(host["widgets_values_named"]) == [
        "scale",
        "detail",
        "cleanup",
        "fidelity",
        "patch_px",
        "seed",
        "target",
    ]
    kind = {"Upscale": "IMAGE", "Video Upscale (PatchVSR Super Resolution)": "VIDEO"}[path.stem]
    assert [socket["type"] for socket in host["outputs"]] == [kind]
    assert [socket["type"] for socket in host["inputs"] if "widget" not in socket] == [kind]
    assert definition["description"].endswith(".") and definition["category"] == "PatchVSR"
    assert {node["type"] for node in definition["nodes"]} <= {*CORE_NODES, *pack.nodes}


def test_both_blueprints_are_what_the_simple_example_has():
    example = ROOT / "example_workflows" / "patchvsr_simple.json"
    around = {"GetVideoComponents", "CreateVideo"}
    frames, clip, simple = (
        sorted((node["type"], str(node.get("widgets_values"))) for node in data["definitions"]["subgraphs"][0]["nodes"])
        for data in (json.loads(path.read_text()) for path in (*BLUEPRINTS, example))
    )
    assert frames == simple
    assert [node for node in clip if node[0] not in around] == frames
    assert around == {kind for kind, _ in clip} - {kind for kind, _ in frames}
