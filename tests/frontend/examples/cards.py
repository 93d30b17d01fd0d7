"""What the template browser says of the examples, in its order: the simple ones first.

An example that is not here is a special one; the browser does not list it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Card:
    """What stands below a picture."""

    title: str
    description: str
    """Also searched; some versions of the frontend show it."""
    tags: tuple[str, ...]
    models: tuple[str, ...] = ()
    """Base models that the example needs."""


READY = "No download"
LONG, STILL, NODES = "Any length", "Images", "Node by node"

CARDS = {
    "patchvsr_long_4k": Card(
        "Upscale a video",
        "Two nodes, from file to file: a video of any length to 4K, sound and subtitles kept, on the built-in model.",
        (READY, LONG),
    ),
    "patchvsr_simple": Card(
        "Upscale a clip inside a workflow",
        "The whole pipeline as one node between your own nodes: frames in, frames out, on the built-in model.",
        (READY, "Subgraph"),
    ),
    "patchvsr_ai_video": Card(
        "Clean up AI video",
        "Twice the size and steadier: detail, propagation along the motion, and a report of what still flickers.",
        (READY, "AI video"),
    ),
    "patchvsr_preview": Card(
        "Look first, then run",
        "One patch in seconds, a fast version next, the full run last, and both compared.",
        (READY, "Preview"),
    ),
    "patchvsr_render": Card(
        "Upscale renders with their passes",
        "Multi-layer EXR from Blender or another renderer: motion, depth, normals and albedo sharpen the result.",
        (READY, "3D"),
    ),
    "patchvsr_tiny": Card(
        "The five stages",
        "The pipeline of the paper from left to right, every stage a node of its own, on the built-in model.",
        (READY, NODES),
    ),
    "patchvsr_seedvr2_4k": Card(
        "SeedVR2 for long videos",
        "Two nodes and your SeedVR2: a video of any length to 4K, patch by patch, without seams.",
        ("SeedVR2", LONG),
        ("SeedVR2",),
    ),
    "patchvsr_seedvr2": Card(
        "SeedVR2 without seams",
        "SeedVR2 in one step on patches that are fused into one canvas, every stage a node of its own.",
        ("SeedVR2", NODES),
        ("SeedVR2",),
    ),
    "patchvsr_wan22_5b": Card(
        "Add detail with Wan 2.2",
        "Wan 2.2 5B as a detail enhancer at any size: a prompt, a denoise, no training.",
        ("Wan 2.2", NODES),
        ("Wan2.2",),
    ),
    "patchvsr_ltx": Card(
        "Add detail with LTX-Video",
        "LTX-Video as a detail enhancer at any size: best for clips that it generated itself.",
        ("LTX-Video", NODES),
        ("LTXV",),
    ),
    "patchvsr_old_film": Card(
        "Restore an old film",
        "Wan restores texture that the print has lost; propagation along the motion keeps it steady.",
        ("Wan 2.1", "Film"),
        ("Wan2.1",),
    ),
    "patchvsr_image_flux": Card(
        "Enhance a still of any size",
        "An image model such as Flux enhances a picture patch by patch: 8K without seams.",
        ("Flux", STILL),
        ("Flux",),
    ),
}


def listing() -> list[dict[str, Any]]:
    """What ``web/templates.json`` holds."""
    return [
        {"name": name, **asdict(card), "tags": list(card.tags), "models": list(card.models)}
        for name, card in CARDS.items()
    ]
