"""Makes the pictures of the help pages that show a node and its neighbours, in ComfyUI's own frontend.

    python tools/make_node_pictures.py

Takes half a minute. Needs what the browser tests need: Chromium, playwright, comfyui-frontend-package and pillow.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fakes import fake_comfyui, load_pack
from fakes.core_nodes import CORE_NODES
from frontend.browser import open_frontend, static_folder
from frontend.stub_server import StubServer
from help_pictures.drawing import save

FILES = {
    "PatchVSR_LoadAdapter": ("adapter_name", "adapter.safetensors"),
    "PatchVSR_ConditionalDecoder": ("decoder_name", "decoder.safetensors"),
}
"""What a user has made."""
ZOOM = 2.0
"""At which the page draws, for clear text; the picture is smaller."""
MOST_PX = 720
SETTLED_MS = 1500


@dataclass(frozen=True)
class Wiring:
    """A node that is open, and its neighbours, of which only the titles are shown."""

    node: str
    before: dict[str, str]
    """Inputs, each from an output: ``input: Node.output``. Nodes stand below one another in this order."""
    after: list[str]
    """``output: Node.input`` likewise."""


PICTURES: dict[str, Wiring] = {
    "PatchVSR_LoadTinyDefault/wiring": Wiring(
        "PatchVSR_LoadTinyDefault",
        {},
        [
            "MODEL: PatchVSR_ApplyPatchVSR.model",
            "adapter: PatchVSR_ApplyPatchVSR.adapter",
            "VAE: PatchVSR_PatchPlanner.vae",
            "VAE: PatchVSR_PatchEncoder.vae",
            "VAE: PatchVSR_PatchDecoder.vae",
            "prompt: BasicGuider.conditioning",
        ],
    ),
    "PatchVSR_LoadAdapter/wiring": Wiring(
        "PatchVSR_LoadAdapter",
        {},
        [
            "adapter: PatchVSR_ApplyPatchVSR.adapter",
            "adapter: PatchVSR_GlobalContextEncoder.adapter",
            "prompt: BasicGuider.conditioning",
        ],
    ),
    "PatchVSR_PatchSampler/wiring": Wiring(
        "PatchVSR_PatchSampler",
        {
            "noise": "RandomNoise.NOISE",
            "guider": "BasicGuider.GUIDER",
            "sampler": "KSamplerSelect.SAMPLER",
            "sigmas": "BasicScheduler.SIGMAS",
            "latent": "PatchVSR_PatchEncoder.LATENT",
            "plan": "PatchVSR_PatchPlanner.plan",
        },
        ["LATENT: PatchVSR_PatchDecoder.latent"],
    ),
    "PatchVSR_ConditionalDecoder/wiring": Wiring(
        "PatchVSR_ConditionalDecoder",
        {
            "vae": "VAELoader.VAE",
            "latent": "PatchVSR_PatchSampler.LATENT",
            "plan": "PatchVSR_PatchPlanner.plan",
            "source": "GetVideoComponents.images",
        },
        ["tiles: PatchVSR_Blender.tiles"],
    ),
}
"""By their paths under ``web/docs``, without the suffix."""

SCRIPT = Path(__file__).with_name("help_pictures").joinpath("wiring.js").read_text()
BARE = {"Comfy.NodeBadge.NodeSourceBadgeMode": "None", "Comfy.NodeBadge.ShowApiPricing": False}
"""Nothing above the nodes."""


def picture(page: Any, wiring: Wiring) -> np.ndarray:
    """The graph without the interface around it."""
    x, y, width, height = page.evaluate(SCRIPT, {**asdict(wiring), "zoom": ZOOM})
    page.wait_for_timeout(SETTLED_MS)
    shot = page.screenshot(clip={"x": x, "y": y, "width": width, "height": height})
    image = Image.open(BytesIO(shot)).convert("RGB")
    if image.width > MOST_PX:
        image = image.resize((MOST_PX, round(image.height * MOST_PX / image.width)), Image.LANCZOS)
    return np.asarray(image)


def main() -> None:
    """Make all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description="Make the pictures of nodes and their neighbours.")
    parser.add_argument("names", nargs="*", default=list(PICTURES), help="such as PatchVSR_LoadAdapter/wiring")
    names = parser.parse_args().names
    with fake_comfyui():
        info = json.loads(json.dumps({**CORE_NODES, **load_pack().object_info()}))
    for node, (name, file) in FILES.items():
        info[node]["input"]["required"][name][1]["options"] = [file]
    with StubServer(static_folder(), info) as server:
        server.answers["/settings"] |= BARE
        shoot(server.address, names)


def shoot(address: str, names: list[str]) -> None:
    """Photograph the named graphs in the frontend of a server."""
    with open_frontend(address) as page:
        page.evaluate("() => app.extensionManager.focusMode || app.extensionManager.toggleFocusMode()")
        for name in names:
            save(name, picture(page, PICTURES[name]))


if __name__ == "__main__":
    main()
