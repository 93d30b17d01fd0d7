"""The example workflows, declared; ``make_workflows.py`` builds them in ComfyUI's own frontend."""

from .bases import (
    FLUX,
    IMAGE_FLUX,
    LTX,
    LTX_GRAPH,
    LTX_TEXT,
    SEEDVR2,
    SEEDVR2_4K,
    SEEDVR2_GRAPH,
    SEEDVR2_VAE,
    WAN22,
    WAN22_5B,
    WAN22_VAE,
)
from .cards import CARDS, listing
from .declarations import Example, Pack
from .five_stages import TINY
from .parts import CLIP
from .render import RENDER
from .research import DCVSR, EVERYTHING, STAR
from .tiny import AI_VIDEO, PREVIEW, REWIRED, UAV
from .wan import ADAPTER, BASE, OLD_FILM, TEXT, VAE, WAN21, WAN21_ADAPTER
from .whole import BLUEPRINTS, LONG_4K, SIMPLE

EXAMPLES = (
    *(TINY, SIMPLE, PREVIEW, AI_VIDEO, LONG_4K, RENDER, REWIRED, UAV),
    *(WAN21, WAN21_ADAPTER, OLD_FILM, DCVSR, STAR, EVERYTHING),
    *(SEEDVR2_GRAPH, SEEDVR2_4K, WAN22_5B, LTX_GRAPH, IMAGE_FLUX),
)

FILES = {
    "LoadVideo": {"file": [CLIP]},
    "LoadImage": {"image": ["example.png"]},
    "UNETLoader": {"unet_name": [BASE.name, SEEDVR2.name, WAN22.name]},
    "VAELoader": {"vae_name": [VAE.name, SEEDVR2_VAE.name, WAN22_VAE.name]},
    "CLIPLoader": {"clip_name": [TEXT.name, LTX_TEXT.name]},
    "CheckpointLoaderSimple": {"ckpt_name": [FLUX.name, LTX.name]},
    "PatchVSR_LoadAdapter": {"adapter_name": [ADAPTER.name]},
}
"""Files that the examples name; a user has them, a test machine need not."""

__all__ = ["BLUEPRINTS", "CARDS", "EXAMPLES", "FILES", "TINY", "Example", "Pack", "listing"]
