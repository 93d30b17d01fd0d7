"""The pack inside a real ComfyUI: loads, runs its workflows, and behaves when things go wrong."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import av
import pytest
import torch
import websocket
from comfyui_server import (
    Graph,
    Server,
    api_graph,
    assert_success,
    changed,
    key,
    messages,
    node,
    pictures,
)
from fakes.workflow import BLUEPRINTS, example
from small_models import random_adapter, random_vae, random_wan, save

from patchvsr_core.adapter import BaseSpec, save_adapter
from patchvsr_core.degradation import estimate_degradation
from patchvsr_core.finish.base_layer import base_layer_weight, blend_base_layer
from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.realtime.exr_passes import read_passes
from patchvsr_core.realtime.upscaler import load_fast
from patchvsr_core.stages import back_project_onto_input
from patchvsr_core.video import VideoWriter, read_clip

ROOT = Path(__file__).parents[2]
FRAMES = 9


@pytest.fixture(scope="module")
def object_info(server: Server) -> Graph:
    return server.get("/object_info")


@pytest.fixture(scope="module")
def short_clip(base_folder: Path) -> str:
    """The first frames of the sample, an odd size, with its audio left out."""
    clip = read_clip(base_folder / "input" / "patchvsr_sample.mp4")
    frames = clip.frames[:FRAMES, 20:71, 60:147]
    path = base_folder / "input" / "short.mkv"
    with VideoWriter(
        path, tuple(frames.shape[1:3]), range(FRAMES), 1 / clip.info.fps, fps=clip.info.fps, crf=4
    ) as writer:
        writer.write(frames)
    return path.name


@pytest.fixture(scope="module")
def tiny_graph(object_info: Graph, short_clip: str) -> Graph:
    """The example workflow on the short clip, ending in PNG files instead of a video."""
    graph = api_graph(json.loads(example("patchvsr_tiny").read_text()), object_info)
    node(graph, "LoadVideo")["inputs"]["file"] = short_clip
    finished = key(graph, "PatchVSR_RefineFidelity")
    for name in ("CreateVideo", "SaveVideo"):
        del graph[key(graph, name)]
    graph["png"] = {"class_type": "SaveImage", "inputs": {"images": [finished, 0], "filename_prefix": "tiny"}}
    return graph


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * (a - b).square().mean().clamp(min=1e-12).log10())


def test_pack_loads_without_a_warning(server: Server, object_info: Graph) -> None:
    ours = sorted(name for name in object_info if name.startswith("PatchVSR_"))
    assert len(ours) == 27
    bad = re.compile(r"warn|error|failed|traceback", re.IGNORECASE)
    ours = [line for line in server.log.read_text().splitlines() if re.search("patchvsr", line, re.IGNORECASE)]
    assert ours, "the log should name the pack among the imported ones"
    assert not [line for line in ours if bad.search(line)], ours


def test_help_pages_and_their_pictures_are_served(server: Server, object_info: Graph) -> None:
    docs = ROOT / "web" / "docs"
    for name, entry in object_info.items():
        if name.startswith("PatchVSR_"):
            base = f"/extensions/{entry['python_module'].removeprefix('custom_nodes.')}/docs/"
            page = server.fetch(f"{base}{name}.md")
            assert page == (docs / f"{name}.md").read_bytes(), name
            for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.decode()):
                assert server.fetch(base + picture) == (docs / picture).read_bytes(), picture


@pytest.fixture(scope="module")
def tiny_result(server: Server, tiny_graph: Graph) -> torch.Tensor:
    return pictures(server, assert_success(server.run(tiny_graph)))


def test_workflow_gives_the_frames_of_the_command_line(
    server: Server, tiny_result: torch.Tensor, short_clip: str
) -> None:
    frames = read_clip(server.base / "input" / short_clip).frames
    models = load_models("tiny")  # single nodes have no restorer
    settings = replace(models.defaults, base_layer="bicubic")
    expected = upscale(frames, (frames.shape[1] * 4, frames.shape[2] * 4), models, settings)
    assert tiny_result.shape == expected.shape == (FRAMES, 204, 348, 3)
    assert psnr(tiny_result, (expected * 255).round() / 255) > 45


def test_propagation_and_conditional_refiner_give_the_frames_of_the_command_line(
    server: Server, object_info: Graph, short_clip: str, tiny_result: torch.Tensor
) -> None:
    graph = api_graph(json.loads(example("patchvsr_upscale_a_video").read_text()), object_info)
    node(graph, "LoadVideo")["inputs"]["file"] = short_clip
    finished = key(graph, "PatchVSR_ConditionalRefiner")
    for name in ("CreateVideo", "SaveVideo"):
        del graph[key(graph, name)]
    graph["png"] = {"class_type": "SaveImage", "inputs": {"images": [finished, 0], "filename_prefix": "uav"}}
    entry = assert_success(server.run(graph))
    result = pictures(server, entry)
    frames = read_clip(server.base / "input" / short_clip).frames
    models = load_models("tiny", refiner="conditional")
    settings = replace(models.defaults, base_layer="bicubic", propagation=0.25)
    expected = upscale(frames, (frames.shape[1] * 4, frames.shape[2] * 4), models, settings)
    assert psnr(result, (expected * 255).round() / 255) > 45
    assert psnr(result, tiny_result) < 45
    (report,) = entry["outputs"][key(graph, "PreviewAny")]["text"]
    assert "Flicker" in report and "Seams" in report


def test_preview_and_base_layer_give_the_frames_of_the_command_line(
    server: Server, object_info: Graph, short_clip: str
) -> None:
    graph = api_graph(json.loads(example("patchvsr_preview").read_text()), object_info)
    node(graph, "LoadVideo")["inputs"]["file"] = short_clip
    made = {"preview": key(graph, "PatchVSR_DAPUpscale"), "final": key(graph, "PatchVSR_RefineFidelity")}
    for name in ("CreateVideo", "SaveVideo", "CreateVideo", "SaveVideo", "PreviewImage"):
        del graph[key(graph, name)]
    for name, source in made.items():
        graph[name] = {"class_type": "SaveImage", "inputs": {"images": [source, 0], "filename_prefix": name}}
    entry = assert_success(server.run(graph))
    frames = read_clip(server.base / "input" / short_clip).frames
    size = frames.shape[1] * 4, frames.shape[2] * 4
    models = load_models("tiny")
    patches = upscale(frames, size, models, replace(models.defaults, base_layer="bicubic", fidelity_rounds=0))
    base, degradation = load_fast("dap").upscale(frames), estimate_degradation(models.estimator, frames)
    final = blend_base_layer(patches.clone(), base, base_layer_weight(degradation=degradation))
    final = back_project_onto_input(final, frames, models.defaults, degradation)
    for name, expected in (("preview", base), ("final", final.clamp(0, 1))):
        assert psnr(pictures(server, entry, name), (expected * 255).round() / 255) > 45


def ending_in_pictures(graph: Graph, result: str) -> Graph:
    """The graph with PNG files of one node's result instead of a video."""
    for name in [name for name, entry in graph.items() if entry["class_type"] in ("CreateVideo", "SaveVideo")]:
        del graph[name]
    graph["png"] = {"class_type": "SaveImage", "inputs": {"images": [result, 0], "filename_prefix": "example"}}
    return graph


def test_six_widgets_give_the_frames_of_the_whole_graph(
    server: Server, object_info: Graph, short_clip: str, tiny_result: torch.Tensor
) -> None:
    graph = api_graph(json.loads(example("patchvsr_simple").read_text()), object_info)
    node(graph, "LoadVideo")["inputs"]["file"] = short_clip
    assert node(graph, "PatchVSR_RefineFidelity")["inputs"]["detail"] == 0.5
    graph = ending_in_pictures(graph, key(graph, "PatchVSR_RefineFidelity"))
    assert torch.equal(pictures(server, assert_success(server.run(graph))), tiny_result)


def test_the_blueprints_are_offered(server: Server) -> None:
    offered = {
        entry["name"]: number
        for number, entry in server.get("/global_subgraphs").items()
        if entry["info"]["node_pack"] == "custom_nodes.PatchVSR"
    }
    files = {path.stem: path.read_text() for path in BLUEPRINTS}
    assert {name: server.get(f"/global_subgraphs/{number}")["data"] for name, number in offered.items()} == files


def test_two_samplers_and_work_on_single_patches(
    server: Server, object_info: Graph, short_clip: str, tiny_result: torch.Tensor
) -> None:
    graph = api_graph(json.loads(example("patchvsr_rewired").read_text()), object_info)
    node(graph, "LoadVideo")["inputs"]["file"] = short_clip
    graph = changed(graph, "PatchVSR_PatchPlanner", patch_px=128)
    graph = ending_in_pictures(graph, key(graph, "PatchVSR_JoinPatches"))
    graph["unsharpened"] = {
        "class_type": "PatchVSR_JoinPatches",
        "inputs": {
            **node(graph, "PatchVSR_JoinPatches")["inputs"],
            "patches": [key(graph, "PatchVSR_SplitPatches"), 0],
        },
    }
    refined = key(graph, "PatchVSR_RefineFidelity")
    for name, source in (("joined", "unsharpened"), ("refined", refined)):
        graph[name] = {"class_type": "SaveImage", "inputs": {"images": [source, 0], "filename_prefix": name}}
    entry = assert_success(server.run(graph))
    result, joined, refined = (pictures(server, entry, name) for name in ("png", "joined", "refined"))
    assert (joined - refined).abs().max() < 1.5 / 255, "split and joined is what it was, but for rounding"
    assert result.shape == tiny_result.shape and psnr(result, refined) < 45
    assert psnr(refined, tiny_result) > 25, "two halves of a run are a run"
    exported = [
        files
        for name, files in entry["outputs"].items()
        if graph[name]["inputs"].get("filename_prefix") == "PatchVSR_patches/patch"
    ]
    assert len(exported[0]["images"]) > 4


def test_ai_video_is_enlarged_and_reported_on(server: Server, object_info: Graph, short_clip: str) -> None:
    graph = api_graph(json.loads(example("patchvsr_ai_video").read_text()), object_info)
    node(graph, "LoadVideo")["inputs"]["file"] = short_clip
    graph = ending_in_pictures(graph, key(graph, "PatchVSR_RefineFidelity"))
    entry = assert_success(server.run(graph))
    assert pictures(server, entry).shape == (FRAMES, 102, 174, 3)
    (report,) = entry["outputs"][key(graph, "PreviewAny")]["text"]
    assert "Flicker" in report


def test_rendered_passes_reach_the_network(server: Server, object_info: Graph) -> None:
    """The example gives the frames of the core; without passes they are others; without files it says what to do."""
    pytest.importorskip("OpenEXR", reason="rendered passes need OpenEXR (pip install OpenEXR)")
    graph = api_graph(json.loads(example("patchvsr_render").read_text()), object_info)
    upscaler = key(graph, "PatchVSR_RDGUpscale")
    for name in ("CreateVideo", "SaveVideo", "PreviewImage", "PreviewImage", "PreviewImage"):
        del graph[key(graph, name)]
    graph["png"] = {"class_type": "SaveImage", "inputs": {"images": [upscaler, 0], "filename_prefix": "render"}}
    result = pictures(server, assert_success(server.run(graph)))
    frames, _, passes = read_passes(server.base / "input" / "patchvsr_render")
    network = load_fast("rdg")
    assert psnr(result, (network.upscale(frames, passes=passes) * 255).round() / 255) > 45
    assert psnr(result, network.upscale(frames)) < 45


def test_ksampler_takes_the_place_of_patch_sampler(
    server: Server, tiny_graph: Graph, tiny_result: torch.Tensor
) -> None:
    graph = json.loads(json.dumps(tiny_graph))
    sampler = node(graph, "PatchVSR_PatchSampler")
    guider = node(graph, "BasicGuider")["inputs"]
    seed = node(graph, "RandomNoise")["inputs"]["noise_seed"]
    sampler["class_type"] = "KSampler"
    sampler["inputs"] = {
        "model": guider["model"],
        "positive": guider["conditioning"],
        "negative": guider["conditioning"],
        "latent_image": sampler["inputs"]["latent"],
        "seed": seed,
        "steps": 1,
        "cfg": 1.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1.0,
    }
    assert psnr(pictures(server, assert_success(server.run(graph))), tiny_result) > 80


def test_sampler_custom_advanced_too(server: Server, tiny_graph: Graph, tiny_result: torch.Tensor) -> None:
    graph = json.loads(json.dumps(tiny_graph))
    sampler = node(graph, "PatchVSR_PatchSampler")
    sampler["class_type"] = "SamplerCustomAdvanced"
    sampler["inputs"]["latent_image"] = sampler["inputs"].pop("latent")
    assert psnr(pictures(server, assert_success(server.run(graph))), tiny_result) > 80


def test_a_blender_change_runs_only_the_blender(server: Server, tiny_graph: Graph) -> None:
    assert_success(server.run(tiny_graph))
    entry = assert_success(server.run(changed(tiny_graph, "PatchVSR_Blender", window="cosine")))
    cached = set(messages(entry, "execution_cached")[0]["nodes"])
    rerun = {tiny_graph[name]["class_type"] for name in tiny_graph if name not in cached}
    assert rerun == {"PatchVSR_Blender", "PatchVSR_RefineFidelity", "SaveImage"}


def test_progress_counts_patches_and_interrupt_stops_within_one(server: Server, tiny_graph: Graph) -> None:
    graph = changed(tiny_graph, "RandomNoise", noise_seed=77)
    graph = changed(graph, "PatchVSR_PatchPlanner", patch_px=64, window_frames=2, overlap_frames=1)
    socket = websocket.create_connection(f"ws://127.0.0.1:{server.port}/ws?clientId={server.client}", timeout=300)
    seen: list[tuple[float, float, float]] = []
    stopped = threading.Event()
    prompt = server.submit(graph)
    sampler = key(graph, "PatchVSR_PatchSampler")
    asked = 0.0
    while not stopped.is_set():
        text = socket.recv()
        if not isinstance(text, str):
            continue
        message = json.loads(text)
        body = message["data"]
        if message["type"] == "progress" and body["node"] == sampler:
            seen.append((time.monotonic(), body["value"], body["max"]))
            if len(seen) == 4 and not asked:
                asked = time.monotonic()
                server.post("/interrupt", {})
        if message["type"] == "execution_interrupted":
            stopped.set()
    assert seen[0][2] > 100, "progress counts patches, not steps"
    per_patch = (seen[3][0] - seen[0][0]) / (seen[3][1] - seen[0][1])
    assert time.monotonic() - asked < max(2.0, 4 * per_patch)
    assert messages(server.wait(prompt), "execution_interrupted")


@pytest.fixture(scope="module")
def video_graph(object_info: Graph, short_clip: str) -> Graph:
    """The example with one node, on the short clip in small chunks."""
    graph = api_graph(json.loads(example("patchvsr_long_4k").read_text()), object_info)
    node(graph, "LoadVideo")["inputs"]["file"] = short_clip
    choices = {
        "size": "",
        "patch_px": 64,
        "patches_at_once": 1,
        "chunk_frames": 4,
        "overlap_frames": 1,
        "format": "mkv",
    }
    return changed(graph, "PatchVSR_UpscaleVideo", **choices)


def test_a_video_is_cancelled_and_goes_on_when_queued_again(server: Server, video_graph: Graph) -> None:
    video_graph = changed(video_graph, "PatchVSR_UpscaleVideo", base_layer="bicubic")  # with progress patch by patch
    graph = changed(video_graph, "PatchVSR_UpscaleVideo", filename_prefix="long")
    output, upscaler = server.base / "output", key(video_graph, "PatchVSR_UpscaleVideo")
    socket = websocket.create_connection(f"ws://127.0.0.1:{server.port}/ws?clientId={server.client}", timeout=300)
    prompt = server.submit(graph)
    seen: list[float] = []
    asked = 0.0
    while True:
        text = socket.recv()
        message = json.loads(text) if isinstance(text, str) else {"type": ""}
        if message["type"] == "progress" and message["data"]["node"] == upscaler:
            seen.append(message["data"]["value"] / message["data"]["max"])
            if seen[-1] > 0.4 and not asked:
                asked = time.monotonic()
                server.post("/interrupt", {})
        if message["type"] == "execution_interrupted":
            break
    assert time.monotonic() - asked < 2
    assert messages(server.wait(prompt), "execution_interrupted")
    assert seen == sorted(seen) and len(set(seen)) > 10
    pieces = sorted((output / ".long_00001_.mkv.patchvsr").glob("0*.mkv"))
    assert pieces and not (output / "long_00001_.mkv").exists()
    stamps = [piece.stat().st_mtime_ns for piece in pieces]
    socket.close()
    prompt = server.submit(graph)
    while all(piece.exists() for piece in pieces):
        assert [piece.stat().st_mtime_ns for piece in pieces] == stamps, "finished chunks are kept"
        time.sleep(0.05)
    entry = assert_success(server.wait(prompt))
    assert entry["outputs"][upscaler]["images"][0]["filename"] == "long_00001_.mkv"
    whole = assert_success(server.run(changed(video_graph, "PatchVSR_UpscaleVideo", filename_prefix="whole")))
    assert whole["status"]["status_str"] == "success"
    made, expected = (output / f"{name}_00001_.mkv" for name in ("long", "whole"))
    assert torch.equal(read_clip(made).frames, read_clip(expected).frames)
    assert len(read_clip(made).frames) == FRAMES


def test_a_mismatched_adapter_is_a_sentence(server: Server, base_folder: Path, tiny_graph: Graph) -> None:
    adapter = random_adapter(BaseSpec(16, 1536, 2, 192, 4096))
    save_adapter(adapter, base_folder / "models" / "model_patches" / "wan.safetensors")
    graph = json.loads(json.dumps(tiny_graph))
    graph["adapter"] = {"class_type": "PatchVSR_LoadAdapter", "inputs": {"adapter_name": "wan.safetensors"}}
    node(graph, "PatchVSR_ApplyPatchVSR")["inputs"]["adapter"] = ["adapter", 0]
    entry = server.run(graph)
    error = messages(entry, "execution_error")[0]
    assert error["exception_message"].strip() == (
        "This adapter was trained for a base with 16 latent channels, but the connected model has 192; "
        "load the adapter made for this model, or the model that the adapter names."
    )
    assert error["node_type"] == "PatchVSR_ApplyPatchVSR"


def test_a_missing_merger_is_a_sentence(server: Server, tiny_graph: Graph) -> None:
    graph = changed(tiny_graph, "PatchVSR_PatchPlanner", patch_px=64)
    apply = key(graph, "PatchVSR_ApplyPatchVSR")
    for name in ("BasicGuider", "BasicScheduler"):
        node(graph, name)["inputs"]["model"] = [apply, 0]
    del graph[key(graph, "PatchVSR_JointModulationMerger")]
    graph[key(graph, "PatchVSR_PatchSampler")]["class_type"] = "SamplerCustomAdvanced"
    sampler = node(graph, "SamplerCustomAdvanced")["inputs"]
    sampler["latent_image"] = sampler.pop("latent")
    sampler.pop("plan", None)  # the latent brings it along
    error = messages(server.run(graph), "execution_error")[0]
    assert "connect Joint-Modulation Merger after Apply PatchVSR" in error["exception_message"]


def test_widget_errors_are_shown_before_running(server: Server, tiny_graph: Graph) -> None:
    graph = changed(tiny_graph, "PatchVSR_PatchDecoder", tile_px=128, overlap_px=256)
    answer = server.post("/prompt", {"prompt": graph})
    text = json.dumps(answer["node_errors"])
    assert "overlap_px (256) must be smaller than tile_px (128)" in text


@pytest.mark.parametrize("name", ["wan21", "wan21_adapter", "old_film", "dc_vsr", "star", "everything"])
def test_the_wan_workflows_run_on_a_small_wan(
    server: Server, base_folder: Path, object_info: Graph, short_clip: str, name: str
) -> None:
    """Stock loaders, a random Wan and VAE in the original layout; text is encoded by hand."""
    save(random_wan(width=256, text_dim=4096), base_folder / "models" / "diffusion_models" / "wan.safetensors")
    save(random_vae(), base_folder / "models" / "vae" / "vae.safetensors")
    graph = api_graph(json.loads(example(f"patchvsr_{name}").read_text()), object_info)
    node(graph, "LoadVideo")["inputs"]["file"] = short_clip
    node(graph, "UNETLoader")["inputs"]["unet_name"] = "wan.safetensors"
    node(graph, "VAELoader")["inputs"]["vae_name"] = "vae.safetensors"
    if name not in ("star", "everything"):
        node(graph, "BasicScheduler")["inputs"]["steps"] = 4
    node(graph, "PatchVSR_PatchPlanner")["inputs"].update(patch_px=128, window_frames=5, overlap_frames=1)
    node(graph, "PatchVSR_PatchDecoder")["inputs"].update(tile_px=192, overlap_px=32)
    replace_text_encoder(graph, base_folder)
    entry = assert_success(server.run(graph))
    video = next(
        v for v in entry["outputs"].values() if v.get("images") and v["images"][0]["filename"].endswith(".mp4")
    )
    with av.open(
        str(base_folder / "output" / video["images"][0]["subfolder"] / video["images"][0]["filename"])
    ) as file:
        frames = list(file.decode(video=0))
    assert len(frames) == FRAMES
    assert (frames[0].width, frames[0].height) == (348, 204)


def replace_text_encoder(graph: Graph, base_folder: Path) -> None:
    """The fixed prompt of an adapter instead of an 11 GB text encoder."""
    adapter = random_adapter(BaseSpec(16, 256, 2, 192, 4096))
    save_adapter(adapter, base_folder / "models" / "model_patches" / "small.safetensors")
    if "CLIPLoader" not in {entry["class_type"] for entry in graph.values()}:
        node(graph, "PatchVSR_LoadAdapter")["inputs"]["adapter_name"] = "small.safetensors"
        return
    graph["prompt"] = {"class_type": "PatchVSR_LoadAdapter", "inputs": {"adapter_name": "small.safetensors"}}
    encoders = [name for name, entry in graph.items() if entry["class_type"] == "CLIPTextEncode"]
    for entry in graph.values():
        for name, value in entry["inputs"].items():
            if isinstance(value, list) and value[0] in encoders:
                entry["inputs"][name] = ["prompt", 1]
    for name in [*encoders, key(graph, "CLIPLoader")]:
        del graph[name]
