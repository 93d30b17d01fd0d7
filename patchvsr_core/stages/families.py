"""Model families in one table: how each is recognised, how it cuts a clip, and which settings suit it.

A new family is a row of :data:`FAMILIES`. Where nothing tells a model apart, ``video`` and ``image`` stand for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..adapter.config import BaseSpec
from ..plan.canvas import TOKEN_CELLS
from ..settings import TINY, WAN, WAN_PLAIN, Settings

STILLS = replace(WAN_PLAIN, patch_px=1024, window_frames=1, overlap_frames=0)
"""An image model without an adapter: every frame on its own, at the size that it was trained at."""
DIFFUSION = replace(STILLS, eta=0.0, shift=1.0)
"""One whose noise is added to the picture instead of taking its place: eta is for flows."""
ONE_STEP = Settings(patch_px=1024, window_frames=21, overlap_frames=4, color="lab", refine_strength=0.0)
"""A model made for super-resolution, which is given the input as a condition: one step from noise."""


@dataclass(frozen=True)
class Family:
    """Models that cut a clip in the same way, and that the same settings suit."""

    title: str
    """What people call it."""
    channels: int
    """Latent channels."""
    stride_px: int
    stride_frames: int
    settings: Settings
    """Defaults with an adapter."""
    without_adapter: Settings
    bases: Mapping[str, BaseSpec]
    """Transformers by the name of their size; empty where memory is not that of a transformer."""
    item_bytes: int = 2
    """Of a number in the transformer."""
    models: tuple[str, ...] = ()
    """Classes of the model in ComfyUI."""
    vaes: tuple[str, ...] = ()
    """Classes of its VAE in ComfyUI, where channels and strides do not tell it apart."""
    images: bool = False
    """Whether frames are images, each on its own."""
    stills: bool = False
    """Whether it takes a single frame only."""
    token_cells: int = TOKEN_CELLS
    """Latent cells along one side of a token."""
    needs_prompt: bool = True
    """Whether positive has to be connected; others bring a prompt of their own."""
    takes_input: bool = False
    """Whether the upsampled input is given to the model as a condition, made for every chunk."""

    @property
    def is_lossless(self) -> bool:
        """Whether a latent is the pixels themselves, rearranged; see :class:`vae.codec.Codec`."""
        return self.channels == 3 * self.stride_px**2

    @property
    def frames(self) -> str:
        """Lengths of a clip that fit without padding, such as ``4n+1``."""
        if self.stills:
            return "1"
        return "any" if self.stride_frames == 1 else f"{self.stride_frames}n+1"


def _plain(settings: Settings, **changes: Any) -> tuple[Settings, Settings]:
    """Of a family for which there are no adapters."""
    chosen = replace(settings, **changes)
    return chosen, chosen


def _spec(width: int, layers: int, ffn: int, text: int) -> BaseSpec:
    return BaseSpec(0, width, layers, ffn, text)


FAMILIES = {
    "tiny": Family("tiny default", 192, 8, 1, TINY, TINY, {"": BaseSpec(192, 256, 6, 768, 256)}, item_bytes=4),
    "wan": Family(
        "Wan 2.1, Wan 2.2 A14B",
        *(16, 8, 4),
        WAN,
        WAN_PLAIN,
        {"1.3B": BaseSpec(16, 1536, 30, 8960, 4096), "14B": BaseSpec(16, 5120, 40, 13824, 4096)},
        models=("WAN21",),
        vaes=("WanVAE",),
    ),
    "wan22": Family(
        "Wan 2.2 5B",
        *(48, 16, 4),
        WAN,
        WAN_PLAIN,
        {"5B": BaseSpec(48, 3072, 30, 14336, 4096)},
        models=("WAN22",),
    ),
    "seedvr2": Family(
        "SeedVR2",
        *(16, 8, 4),
        *_plain(ONE_STEP),
        {"3B": _spec(2560, 32, 6912, 5120), "7B": _spec(3072, 36, 12288, 5120)},
        models=("SeedVR2",),
        vaes=("VideoAutoencoderKLWrapper",),
        needs_prompt=False,
        takes_input=True,
    ),
    "hunyuan": Family(
        "HunyuanVideo",
        *(16, 8, 4),
        *_plain(WAN_PLAIN, shift=7.0),
        {"13B": _spec(3072, 60, 12288, 4096)},
        models=("HunyuanVideo",),
        vaes=("AutoencoderKL", "AutoencodingEngine"),
    ),
    "ltx": Family(
        "LTX-Video",
        *(128, 32, 8),
        *_plain(WAN_PLAIN, patch_px=768, window_frames=97, shift=2.37),
        {"2B": _spec(2048, 28, 8192, 4096), "13B": _spec(4096, 48, 16384, 4096)},
        models=("LTXV", "LTXAV"),
        token_cells=1,
    ),
    "cosmos": Family(
        "Cosmos Predict2",
        *(16, 8, 4),
        *_plain(WAN_PLAIN, eta=0.0, shift=1.0, window_frames=93, patch_px=768),
        {"2B": _spec(2048, 28, 8192, 1024), "14B": _spec(5120, 36, 20480, 1024)},
        models=("CosmosPredict2", "CosmosVideo"),
    ),
    "qwen": Family(
        "Qwen-Image",
        *(16, 8, 4),
        *_plain(STILLS, shift=1.15),
        {"20B": _spec(3072, 60, 12288, 3584)},
        models=("QwenImage",),
        stills=True,
    ),
    "flux": Family(
        "Flux",
        *(16, 8, 1),
        *_plain(STILLS, shift=1.15),
        {"12B": _spec(3072, 57, 12288, 4096)},
        models=("Flux",),
        images=True,
    ),
    "sdxl": Family("SDXL", *(4, 8, 1), *_plain(DIFFUSION), {}, models=("SDXL", "SDXLRefiner"), images=True),
    "sd15": Family(
        "Stable Diffusion 1.5",
        *(4, 8, 1),
        *_plain(DIFFUSION, patch_px=512),
        {},
        models=("BaseModel",),
        images=True,
    ),
    "image": Family("another image model", *(0, 8, 1), *_plain(STILLS, eta=0.0, shift=1.0), {}, images=True),
    "video": Family("another video model", *(0, 8, 4), *_plain(WAN_PLAIN, eta=0.0), {}),
}
"""By the name that forecasts, notes of speeds and the route use."""


def family_of_model(classes: Sequence[str], *, images: bool) -> str:
    """The family of a model in ComfyUI.

    Args:
        classes: names of its class and of those that it derives from, nearest first.
        images: whether it takes frames as a batch of images.
    """
    if classes[0] != "BaseModel":  # which all models derive from
        classes = [name for name in classes if name != "BaseModel"]
    by_class = {model: name for name, family in FAMILIES.items() for model in family.models}
    return next((by_class[name] for name in classes if name in by_class), "image" if images else "video")


def family_of_codec(codec: Any) -> str:
    """The family of a :class:`vae.codec.Codec`, from its channels and strides, and its network if it names one.

    Several families share a VAE; the first stands for them.
    """
    sizes = (codec.channels, codec.stride_px, codec.stride_frames)
    fitting = {
        name: family
        for name, family in FAMILIES.items()
        if sizes == (family.channels, family.stride_px, family.stride_frames)
    }
    network = getattr(codec, "network", "")
    named = next((name for name, family in fitting.items() if network in family.vaes), None)
    if named or fitting:
        return named or next(iter(fitting))
    return "image" if codec.stride_frames == 1 and not codec.is_lossless else "video" if network else "wan"


def same_codec(name: str) -> tuple[str, ...]:
    """Families that share a codec, which does not tell them apart; first what :func:`family_of_codec` gives."""
    first = _told_as(name)
    return (first, *(other for other in FAMILIES if other != first and _told_as(other) == first))


def _told_as(name: str) -> str:
    family = FAMILIES[name]
    sizes = (family.channels, family.stride_px, family.stride_frames)
    alike = (key for key, other in FAMILIES.items() if sizes == (other.channels, other.stride_px, other.stride_frames))
    return name if family.vaes else next(alike)
