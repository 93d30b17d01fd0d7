"""The example workflows, read against the nodes that they are made of, and run."""

import json
import shutil

import pytest
import torch
from fakes import run_prompt
from fakes.core_behaviour import TEXT_DIM, Video, core_behaviour
from fakes.core_nodes import CORE_NODES
from fakes.pack import ROOT
from fakes.workflow import CONTROLS, EXAMPLES, Workflow, allowed, example, sockets_of, widgets_of
from frontend.examples import CARDS
from small_models import random_adapter

from patchvsr_core.adapter import BaseSpec, save_adapter
from patchvsr_core.preview.compare import CAPTION_PX, GAP_PX

EXPECTED = {
    "patchvsr_tiny": {
        "LoadVideo": {"file": "patchvsr_sample.mp4"},
        "BasicScheduler": {"scheduler": "simple", "steps": 1, "denoise": 1},
        "KSamplerSelect": {"sampler_name": "euler"},
        "PatchVSR_PatchPlanner": {"scale": 4, "patch_px": 256, "layout": "auto", "window_frames": 8},
        "PatchVSR_Blender": {"color_fix": "none"},
        "PatchVSR_RefineFidelity": {"refine_strength": 1, "rounds": 8, "detail": 0.5},
    },
    "patchvsr_wan21": {
        "LoadVideo": {"file": "patchvsr_sample.mp4"},
        "UNETLoader": {"unet_name": "wan2.1_t2v_1.3B_fp16.safetensors"},
        "VAELoader": {"vae_name": "wan_2.1_vae.safetensors"},
        "CLIPLoader": {"clip_name": "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "type": "wan"},
        "ModelSamplingSD3": {"shift": 5},
        "CFGGuider": {"cfg": 2},
        "BasicScheduler": {"scheduler": "simple", "steps": 10, "denoise": 0.3},
        "PatchVSR_PatchPlanner": {"patch_px": 512, "window_frames": 81, "overlap_frames": 16},
        "PatchVSR_ApplyPatchVSR": {"structure_lock": 0.5, "projection_steps": 1, "churn": 0.2},
        "PatchVSR_Blender": {"color_fix": "wavelet"},
        "PatchVSR_RefineFidelity": {"refine_strength": 0, "rounds": 8},
    },
    "patchvsr_upscale_a_video": {
        "PatchVSR_OpticalFlow": {"method": "dis"},
        "PatchVSR_FlowPropagation": {"weight": 0.25},
        "PatchVSR_ConditionalRefiner": {"detail": 0.5},
    },
    "patchvsr_dc_vsr": {
        "PatchVSR_AttentionPropagation": {"spatial": True, "temporal": True, "lazy": False, "layers": "all"},
        "PatchVSR_DetailGuidance": {"softening_start": 1, "softening_end": 1.5, "rescale": 0},
        "CFGGuider": {"cfg": 3},
    },
    "patchvsr_star": {
        "PatchVSR_StarSchedule": {"start": 0.5},
        "PatchVSR_DetailGuidance": {"softening_end": 1, "rescale": 0.2},
        "CFGGuider": {"cfg": 7.5},
    },
    "patchvsr_everything": {
        "PatchVSR_StarSchedule": {"start": 0.4},
        "PatchVSR_FlowPropagation": {"weight": 0.5},
        "PatchVSR_AttentionPropagation": {"lazy": True},
        "PatchVSR_DetailGuidance": {"softening_end": 1.5},
        "PatchVSR_RefineFidelity": {"refine_strength": 0, "detail": 0.5},
    },
    "patchvsr_simple": {
        "LoadVideo": {"file": "patchvsr_sample.mp4"},
        "BasicScheduler": {"scheduler": "simple", "steps": 1, "denoise": 1},
        "PatchVSR_PatchPlanner": {"scale": 4, "patch_px": 256, "layout": "auto", "window_frames": 8},
        "PatchVSR_RefineFidelity": {"detail": 0.5, "cleanup": 1, "fidelity": 1},
        "RandomNoise": {"noise_seed": 0},
    },
    "patchvsr_long_4k": {
        "LoadVideo": {"file": "patchvsr_sample.mp4"},
        "PatchVSR_UpscaleVideo": {
            "size": "",
            "target": "custom",
            "format": "auto",
            "codec": "auto",
            "when_unfinished": "continue",
        },
    },
    "patchvsr_ai_video": {
        "PatchVSR_PatchPlanner": {"scale": 2},
        "PatchVSR_FlowPropagation": {"weight": 0.25},
        "PatchVSR_RefineFidelity": {"detail": 0.5, "cleanup": 1, "fidelity": 0.7},
    },
    "patchvsr_wan21_adapter": {
        "UNETLoader": {"unet_name": "wan2.1_t2v_1.3B_fp16.safetensors"},
        "PatchVSR_LoadAdapter": {"adapter_name": "patchvsr_wan21_1p3b.safetensors"},
        "PatchVSR_PatchEncoder": {"noise_level": 0.25},
        "PatchVSR_ApplyPatchVSR": {"structure_lock": 0, "projection_steps": 0, "churn": 0},
        "BasicScheduler": {"scheduler": "simple", "steps": 20, "denoise": 1},
    },
    "patchvsr_old_film": {
        "BasicScheduler": {"scheduler": "simple", "steps": 10, "denoise": 0.3},
        "PatchVSR_FlowPropagation": {"weight": 0.5},
        "PatchVSR_RefineFidelity": {"refine_strength": 0, "cleanup": 1},
    },
    "patchvsr_rewired": {
        "BasicScheduler": {"scheduler": "simple", "steps": 4, "denoise": 1},
        "SplitSigmas": {"step": 2},
        "PatchVSR_JoinPatches": {"window": "cosine"},
        "ImageFromBatch": {"batch_index": 0, "length": 1},
    },
    "patchvsr_preview": {
        "LoadVideo": {"file": "patchvsr_sample.mp4"},
        "PatchVSR_DAPUpscale": {"weights": "small (shipped)", "scale": 4},
        "PatchVSR_RefineFidelity": {"refine_strength": 1, "rounds": 8, "detail": 0.5},
        "PatchVSR_PatchPreview": {"detail": 0.5},
    },
    "patchvsr_seedvr2": {
        "UNETLoader": {"unet_name": "seedvr2_3b_fp8_e4m3fn.safetensors"},
        "BasicScheduler": {"scheduler": "simple", "steps": 1, "denoise": 1},
        "PatchVSR_PatchPlanner": {"patch_px": 1024, "layout": "corner", "window_frames": 21, "overlap_frames": 4},
        "PatchVSR_Blender": {"color_fix": "lab"},
    },
    "patchvsr_seedvr2_4k": {
        "UNETLoader": {"unet_name": "seedvr2_3b_fp8_e4m3fn.safetensors"},
        "PatchVSR_UpscaleVideo": {"target": "custom", "color_fix": "auto"},
    },
    "patchvsr_wan22_5b": {
        "UNETLoader": {"unet_name": "wan2.2_ti2v_5B_fp16.safetensors"},
        "VAELoader": {"vae_name": "wan2.2_vae.safetensors"},
        "BasicScheduler": {"scheduler": "simple", "steps": 10, "denoise": 0.3},
    },
    "patchvsr_ltx": {
        "CheckpointLoaderSimple": {"ckpt_name": "ltx-video-2b-v0.9.safetensors"},
        "CLIPLoader": {"clip_name": "t5xxl_fp16.safetensors", "type": "ltxv"},
        "PatchVSR_PatchPlanner": {"patch_px": 768, "window_frames": 97, "overlap_frames": 16},
        "BasicScheduler": {"scheduler": "simple", "steps": 10, "denoise": 0.3},
    },
    "patchvsr_image_flux": {
        "CheckpointLoaderSimple": {"ckpt_name": "flux1-schnell-fp8.safetensors"},
        "PatchVSR_PatchPlanner": {"patch_px": 1024, "window_frames": 1, "overlap_frames": 0},
        "BasicScheduler": {"scheduler": "simple", "steps": 4, "denoise": 0.3},
    },
    "patchvsr_render": {
        "PatchVSR_LoadRenderPasses": {"path": "patchvsr_render", "frame_count": 0},
        "PatchVSR_RDGUpscale": {"weights": "small (shipped)", "scale": 4, "depth_is_nearness": False},
    },
}
"""Choices that make an example what it is."""


@pytest.fixture(scope="module")
def adapters(pack, tmp_path_factory):
    """A folder with an adapter under the name that the example has for one."""
    import folder_paths

    folder = tmp_path_factory.mktemp("model_patches")
    adapter = random_adapter(BaseSpec(channels=16, width=128, layers=2, ffn=256, text_dim=TEXT_DIM))
    save_adapter(adapter, folder / "patchvsr_wan21_1p3b.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(folder_paths.folders, "model_patches", folder)
        yield folder


@pytest.fixture(scope="module")
def object_info(pack, adapters):
    return {**CORE_NODES, **json.loads(json.dumps(pack.object_info()))}


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def workflow(path):
    return Workflow.read(path)


STAGES = ["PatchPlanner", "PatchEncoder", "ApplyPatchVSR", "JointModulationMerger", "PatchSampler"]
STAGES += ["PatchDecoder", "Blender"]
TINY = [*STAGES, "LoadTinyDefault", "GlobalContextEncoder"]
PLAIN, CONDITIONAL = ["RefineFidelity"], ["ConditionalRefiner", "QualityReport"]
FLOW = ["OpticalFlow", "FlowPropagation"]
NODES = {
    "patchvsr_tiny": [*TINY, *PLAIN],
    "patchvsr_wan21": [*STAGES, *PLAIN],
    "patchvsr_upscale_a_video": [*TINY, *FLOW, *CONDITIONAL],
    "patchvsr_dc_vsr": [*STAGES, *PLAIN, "AttentionPropagation", "DetailGuidance"],
    "patchvsr_star": [*STAGES, *PLAIN, "DetailGuidance", "StarSchedule"],
    "patchvsr_everything": [
        *(*STAGES, *FLOW, *PLAIN, "QualityReport"),
        *("AttentionPropagation", "DetailGuidance", "StarSchedule"),
    ],
    "patchvsr_simple": [*TINY, *PLAIN],
    "patchvsr_long_4k": ["UpscaleVideo"],
    "patchvsr_ai_video": [*TINY, *FLOW, *PLAIN, "QualityReport"],
    "patchvsr_wan21_adapter": [*STAGES, *PLAIN, "LoadAdapter", "GlobalContextEncoder"],
    "patchvsr_old_film": [*STAGES, *FLOW, *PLAIN, "QualityReport"],
    "patchvsr_rewired": [*TINY, *PLAIN, "SplitPatches", "JoinPatches"],
    "patchvsr_preview": [*TINY, *PLAIN, "DAPUpscale", "PatchPreview", "Compare"],
    "patchvsr_render": ["LoadRenderPasses", "RDGUpscale"],
    "patchvsr_seedvr2": [*(stage for stage in STAGES if stage != "ApplyPatchVSR"), *PLAIN],
    "patchvsr_seedvr2_4k": ["UpscaleVideo"],
    "patchvsr_wan22_5b": [*STAGES, *PLAIN],
    "patchvsr_ltx": [*STAGES, *PLAIN],
    "patchvsr_image_flux": [*STAGES, *PLAIN],
}
NEEDS_FILES = {f"patchvsr_{name}" for name in ("wan21", "wan21_adapter", "old_film", "dc_vsr", "star", "everything")}
NEEDS_FILES |= {f"patchvsr_{name}" for name in ("seedvr2", "seedvr2_4k", "wan22_5b", "ltx", "image_flux")}
PICTURE_PX, MOST_PICTURE_BYTES = (404, 400), 60_000
WHOLE = ["Load", "Plan & encode", "Model", "Sample", "Decode & finish"]
TITLES = {
    "patchvsr_simple": ["Load", "Upscale"],
    "patchvsr_long_4k": ["Load", "Upscale"],
    "patchvsr_seedvr2_4k": ["Load", "Upscale"],
    "patchvsr_ai_video": ["Load", "Plan & encode", "Motion", "Model", "Sample", "Decode & finish"],
    "patchvsr_rewired": [
        *("Load", "Plan & encode", "Model", "First half", "Second half"),
        *("Decode & finish", "Patch by patch", "Save"),
    ],
    "patchvsr_upscale_a_video": ["Load", "Plan & encode", "Motion", "Model", "Sample", "Decode & finish"],
    "patchvsr_preview": [
        *("Load", "Fast", "Plan & encode", "Model"),
        *("Look at one patch", "Sample", "Decode & finish"),
    ],
    "patchvsr_render": ["Load", "Render passes", "Upscale"],
    "patchvsr_tiny": [
        *("Load", "Read me", "1 Plan patches", "2 Encode, add context", "3 Joint modulation"),
        *("4 Denoise", "5 Blend & finish", "Save"),
    ],
}


def test_all_examples_are_there():
    assert {path.stem for path in EXAMPLES} == set(EXPECTED)


def test_every_node_exists(workflow, object_info):
    types = {node["type"] for node in workflow.real_nodes()}
    assert types <= set(object_info), types - set(object_info)
    assert all(node["mode"] == 0 for node in workflow.real_nodes()), "a node is muted or bypassed"


def test_widget_values_fit_in_number_order_and_range(workflow, object_info):
    for node in workflow.real_nodes():
        entry = object_info[node["type"]]
        names = []
        for name, value, spec in widgets_of(entry, node.get("widgets_values", [])):
            names.append(name)
            if spec is not None:
                assert allowed(value, *spec), (node["type"], name, value)
            elif name in CONTROLS:
                assert value == "fixed", "an example gives the same result every time"
        named = node.get("widgets_values_named", {})
        assert list(named) == names, node["type"]
        assert list(named.values()) == (node.get("widgets_values", [])), node["type"]


def test_links_join_sockets_of_one_type(workflow, object_info):
    for number, link in workflow.links.items():
        source, target = workflow.nodes[link.source], workflow.nodes[link.target]
        output = source["outputs"][link.output]
        socket = target["inputs"][link.input]
        assert number in output["links"] and socket["link"] == number
        assert output["name"] == object_info[source["type"]]["output_name"][link.output]
        assert object_info[source["type"]]["output"][link.output] == link.type
        taken = sockets_of(object_info[target["type"]])[socket["name"]][0]
        assert taken in (link.type, "*"), (target["type"], socket)


def test_every_input_that_must_be_connected_is(workflow, object_info):
    prompt = workflow.prompt(object_info)
    for entry in prompt.values():
        required = set(object_info[entry["class_type"]]["input"]["required"])
        assert required <= set(entry["inputs"]), entry["class_type"]


def test_every_stage_is_a_node_of_its_own(workflow, path):
    types = [node["type"] for node in workflow.real_nodes()]
    assert sorted(t for t in types if t.startswith("PatchVSR_")) == sorted(f"PatchVSR_{n}" for n in NODES[path.stem])


def test_the_choices_are_those_of_the_example(workflow, path, object_info):
    for node, expected in EXPECTED[path.stem].items():
        (found,) = [entry for entry in workflow.prompt(object_info).values() if entry["class_type"] == node]
        assert {name: found["inputs"][name] for name in expected} == expected


def test_nodes_lie_inside_titled_groups_and_do_not_overlap(path):
    data = json.loads(path.read_text())
    titles = [group["title"] for group in data["groups"]]
    assert titles == TITLES.get(path.stem, WHOLE)
    boxes = [node_box(node) for node in data["nodes"]]
    for index, box in enumerate(boxes):
        assert not any(overlap(box, other) for other in boxes[index + 1 :]), data["nodes"][index]["type"]
        holders = [group for group in data["groups"] if inside(box, group["bounding"])]
        assert len(holders) == 1, data["nodes"][index]["type"]
    lefts = [group["bounding"][0] for group in data["groups"]]
    assert lefts == sorted(lefts), "groups run from left to right"


def node_box(node):
    """(left, top, width, height) with the title bar, which is all of a folded node."""
    (x, y), (width, height) = node["pos"], node["size"]
    height = 0 if node["flags"].get("collapsed") else height
    return x, y - 30, width, height + 30


def overlap(a, b):
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def inside(box, group):
    x, y, width, height = group
    return x <= box[0] and y <= box[1] and box[0] + box[2] <= x + width and box[1] + box[3] <= y + height


@pytest.mark.parametrize("name", CARDS)
def test_the_picture_of_a_card_is_square_and_small(name):
    from PIL import Image

    picture = example(name).with_suffix(".jpg")
    assert picture.stat().st_size < MOST_PICTURE_BYTES
    with Image.open(picture) as image:
        assert image.format == "JPEG"
        assert image.size == PICTURE_PX, "before and after, and a line between them"


OWN_TESTS = {
    "patchvsr_long_4k": "test_video_node.py",
    "patchvsr_seedvr2_4k": "tests/comfyui/test_bases.py, with a small SeedVR2,",
    "patchvsr_image_flux": "tests/comfyui/test_bases.py, with a small Flux,",
    "patchvsr_render": "test_the_sample_render_is_upscaled_with_its_passes",
}


def test_the_sample_render_is_upscaled_with_its_passes(pack, object_info, monkeypatch, tmp_path):
    pytest.importorskip("OpenEXR", reason="rendered passes need OpenEXR (pip install OpenEXR)")
    import folder_paths

    shutil.copytree(ROOT / "examples" / "render", tmp_path / "patchvsr_render")
    monkeypatch.setitem(folder_paths.folders, "input", tmp_path)
    workflow, saved = Workflow.read(example("patchvsr_render")), []
    run_prompt(workflow.prompt(object_info), pack.nodes, core_behaviour(None, saved))
    (result,) = saved
    assert result.images.shape == (6, 480, 864, 3)
    with_passes = result.images.clone()
    without = workflow.prompt(object_info)
    (upscaler,) = [entry for entry in without.values() if entry["class_type"] == "PatchVSR_RDGUpscale"]
    for name in ("flow", "depth", "normal", "albedo"):
        del upscaler["inputs"][name]
    run_prompt(without, pack.nodes, core_behaviour(None, saved))
    assert (saved[1].images - with_passes).abs().mean() > 1e-4


def test_the_example_runs_and_keeps_sound_and_frame_rate(workflow, path, pack, object_info):
    if path.stem in OWN_TESTS:
        pytest.skip(f"works on files; {OWN_TESTS[path.stem]} runs it")
    t, y, x = torch.meshgrid(torch.arange(3), torch.arange(13), torch.arange(17), indexing="ij")
    frames = (0.5 + 0.25 * torch.sin(0.4 * x + 0.3 * y + 0.5 * t))[..., None].expand(-1, -1, -1, 3).contiguous()
    video, saved = Video(frames, audio="a chord", fps=12.5), []
    outputs = run_prompt(workflow.prompt(object_info), pack.nodes, core_behaviour(video, saved))
    assert len(saved) == (2 if path.stem == "patchvsr_preview" else 1)
    height, width = (26, 34) if path.stem == "patchvsr_ai_video" else (52, 68)
    for result in saved:
        assert result.images.shape == (3, height, width, 3)
        assert torch.isfinite(result.images).all()
        assert (result.audio, result.fps) == ("a chord", 12.5)
    shown = {
        node["title"]: outputs[str(node["id"])][0] for node in workflow.real_nodes() if node["type"] == "PreviewImage"
    }
    shapes = {
        "The plan": (1, height, width, 3),
        "Where it flickers": (3, height, width, 3),
        "Split view": (1, height, width, 3),
        "1:1": (1, height + CAPTION_PX, 2 * width + GAP_PX, 3),
    }
    assert {title: picture.shape for title, picture in shown.items()} == {title: shapes[title] for title in shown}


def test_rewired_works_patch_by_patch(pack, object_info):
    """One patch covers a clip this small, unless patches are as small as they can be."""
    workflow, saved = Workflow.read(example("patchvsr_rewired")), []
    prompt = workflow.prompt(object_info)
    entries = {entry["class_type"]: (number, entry["inputs"]) for number, entry in prompt.items()}
    entries["PatchVSR_PatchPlanner"][1]["patch_px"] = 64
    behaviour = core_behaviour(Video(torch.rand(3, 24, 40, 3)), saved)
    levels, split = [], behaviour["SplitSigmas"]
    behaviour["SplitSigmas"] = lambda **inputs: levels.append(split(**inputs)) or levels[-1]
    outputs = run_prompt(prompt, pack.nodes, behaviour)
    patches = outputs[entries["PatchVSR_SplitPatches"][0]][0]
    exported = outputs[entries["SaveImage"][0]][0]
    assert len(patches) == len(exported) > 4
    assert {patch.shape for patch in patches} == {(3, 64, 64, 3)}
    assert {picture.shape for picture in exported} == {(1, 64, 64, 3)}
    assert saved[0].images.shape == (3, 96, 160, 3)
    ((high, low),) = levels
    assert len(high) == len(low) == 3 and high[-1] == low[0] and low[-1] == 0
