"""Nodes and groups that several examples share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .declarations import FINISH, LOAD, MODEL, PLAN, SAMPLE, File, Group, Node

CLIP = "patchvsr_sample.mp4"
NOTE_WIDTH = 380


def note(text: str, files: Iterable[File] = ()) -> dict[str, Node]:
    """What to know before running; as high as its text needs."""
    lines = [file.line for file in files]
    listed = "\n\n**Files**\n\n" + "\n".join(lines) if lines else ""
    return {"note": Node("MarkdownNote", {"": text.strip() + listed}, title="Read me", size=(NOTE_WIDTH, 0))}


def clip() -> dict[str, Node]:
    return {
        "video": Node("LoadVideo", {"file": CLIP}, size=(270, 300)),
        "parts": Node("GetVideoComponents", {"video": "@video.VIDEO"}),
    }


def plan(vae: str, **widgets: Any) -> dict[str, Node]:
    return {
        "plan": Node("PatchVSR_PatchPlanner", {"image": "@parts.images", "vae": vae, **widgets}),
        "preview": Node("PreviewImage", {"images": "@plan.preview"}, title="The plan", size=(300, 300)),
    }


def encode(vae: str) -> dict[str, Node]:
    inputs = {"vae": vae, "image": "@parts.images", "plan": "@plan.plan", "noise_seed": 0}
    return {"encode": Node("PatchVSR_PatchEncoder", inputs)}


def context(vae: str, adapter: str) -> dict[str, Node]:
    inputs = {"vae": vae, "adapter": adapter, "image": "@parts.images", "plan": "@plan.plan"}
    return {"context": Node("PatchVSR_GlobalContextEncoder", inputs)}


def sampling(steps: int, denoise: float) -> dict[str, Node]:
    return {
        "noise": Node("RandomNoise", {"noise_seed": 0, "control_after_generate": "fixed"}),
        "solver": Node("KSamplerSelect", {"sampler_name": "euler"}),
        "sigmas": Node(
            "BasicScheduler", {"model": "@merge.MODEL", "scheduler": "simple", "steps": steps, "denoise": denoise}
        ),
        "sample": Node(
            "PatchVSR_PatchSampler",
            {
                "noise": "@noise.NOISE",
                "guider": "@guider.GUIDER",
                "sampler": "@solver.SAMPLER",
                "sigmas": "@sigmas.SIGMAS",
                "latent": "@encode.LATENT",
                "plan": "@plan.plan",
            },
        ),
    }


def finishing(vae: str, color_fix: str, **refine: Any) -> dict[str, Node]:
    return {
        "decode": Node("PatchVSR_PatchDecoder", {"vae": vae, "latent": "@sample.LATENT", "plan": "@plan.plan"}),
        "blend": Node(
            "PatchVSR_Blender",
            {"tiles": "@decode.tiles", "image": "@parts.images", "window": "linear", "color_fix": color_fix},
        ),
        "refine": Node("PatchVSR_RefineFidelity", {"image": "@blend.IMAGE", "source": "@parts.images", **refine}),
    }


def saving(images: str = "@refine.IMAGE", prefix: str = "video/PatchVSR") -> dict[str, Node]:
    return {
        "join": Node("CreateVideo", {"images": images, "fps": "@parts.fps", "audio": "@parts.audio"}),
        "save": Node("SaveVideo", {"video": "@join.VIDEO", "filename_prefix": prefix}, size=(360, 380)),
    }


def flow(image: str) -> dict[str, Node]:
    return {"flow": Node("PatchVSR_OpticalFlow", {"image": image})}


def enlarged_flow() -> dict[str, Node]:
    """The motion of the enlarged clip, for the tiny default."""
    size = {"width": "@plan.width", "height": "@plan.height"}
    return {
        "enlarge": Node(
            "ImageScale",
            {"image": "@parts.images", "upscale_method": "bicubic", **size, "crop": "disabled"},
            title="Upscale for the motion",
        ),
        **flow("@enlarge.IMAGE"),
    }


def along(model: str, weight: float) -> dict[str, Node]:
    inputs = {"model": model, "plan": "@plan.plan", "flow": "@flow.flow", "weight": weight}
    return {"along": Node("PatchVSR_FlowPropagation", inputs)}


def look() -> dict[str, Node]:
    """One patch, before the rest."""
    shared = {"noise": "@noise.NOISE", "guider": "@guider.GUIDER", "sampler": "@solver.SAMPLER"}
    inputs = {**shared, "sigmas": "@sigmas.SIGMAS", "latent": "@encode.LATENT", "frames": 1}
    return {"look": Node("PatchVSR_PatchPreview", inputs, size=(560, 560))}


def compare() -> dict[str, Node]:
    """Input and result in one picture, for the first frame."""
    first = {"batch_index": 0, "length": 1}
    inputs = {"before": "@first in.IMAGE", "after": "@first out.IMAGE", "names": "input, PatchVSR"}
    return {
        "first in": Node("ImageFromBatch", {"image": "@parts.images", **first}, title="First frame of the input"),
        "first out": Node("ImageFromBatch", {"image": "@refine.IMAGE", **first}, title="First frame of the result"),
        "compare": Node("PatchVSR_Compare", inputs),
        "split": Node("PreviewImage", {"images": "@compare.split"}, title="Split view", size=(480, 280)),
        "crops": Node("PreviewImage", {"images": "@compare.crops"}, title="1:1", size=(480, 640)),
    }


def report() -> dict[str, Node]:
    inputs = {"image": "@refine.IMAGE", "source": "@parts.images", "plan": "@plan.plan"}
    return {
        "report": Node("PatchVSR_QualityReport", inputs),
        "words": Node("PreviewAny", {"source": "@report.report"}, title="The report", size=(420, 300)),
        "heat": Node("PreviewImage", {"images": "@report.heat_map"}, title="Where it flickers", size=(420, 260)),
    }


def conditional() -> dict[str, Node]:
    inputs = {"decoded": "@blend.IMAGE", "source": "@parts.images"}
    return {"refine": Node("PatchVSR_ConditionalRefiner", inputs)}


def without(node: Node, *inputs: str) -> Node:
    return replace(node, inputs={name: value for name, value in node.inputs.items() if name not in inputs})


def changed(node: Node, **inputs: Any) -> Node:
    return replace(node, inputs={**node.inputs, **inputs})


def load_group(*loaders: list[str]) -> Group:
    return Group("Load", LOAD, [["note"], ["video", "parts", *loaders[0]], *loaders[1:]])


PLAN_GROUP = Group("Plan & encode", PLAN, [["plan", "preview"], ["encode"]])
PLAN_AND_CONTEXT = Group("Plan & encode", PLAN, [["plan", "preview"], ["encode", "context"]])
MODEL_GROUP = Group("Model", MODEL, [["apply", "merge"]])
SAMPLE_GROUP = Group("Sample", SAMPLE, [["guider", "noise", "solver", "sigmas"], ["sample"]])
FINISH_GROUP = Group("Decode & finish", FINISH, [["decode", "blend", "refine"], ["join", "save"]])
REPORT_GROUP = replace(FINISH_GROUP, columns=[*FINISH_GROUP.columns, ["report", "words", "heat"]])
