"""The defaults of each kind of model."""

from __future__ import annotations

from dataclasses import replace

from .names import RESTORER
from .settings import Settings

TINY = Settings(layout="overlapping", base_layer=RESTORER)
"""The tiny default: what the restorer makes of the input; with ``patch_detail``, a single step of diffusion on top, in
which one grid is as good as three."""

_ANY_WAN = Settings(patch_px=512, window_frames=81, overlap_frames=16, shift=5.0, color="wavelet", refine_strength=0.0)
"""At the size and length that they were trained for; their frames are sharp without the refiner."""

WAN = replace(_ANY_WAN, steps=20, noise_level=0.25)
"""A Wan with an adapter: from noise."""

WAN_PLAIN = replace(
    _ANY_WAN,
    steps=10,
    start=0.3,
    low_frequency_guidance=0.5,
    projection_steps=1,
    eta=0.2,
    propagation_start=0.1,
)
"""A stock Wan without an adapter: a detail enhancer that starts from the noised input."""

QUALITIES = ("balanced", "fast", "best")
"""balanced: the settings as they are. fast: a real-time network instead of them. best: patches are denoised too."""
BEST_PATCHES = 0.3


def with_quality(settings: Settings, quality: str) -> Settings:
    """Settings with what a quality asks for; ``fast`` uses none.

    A ``detail`` of 0 becomes the default in ``best``: workflows that were saved while 0 was the default keep their
    pictures.
    """
    if quality != "best":
        return settings
    detail, patch_detail = settings.detail or Settings.detail, settings.patch_detail or BEST_PATCHES
    return replace(settings, detail=detail, patch_detail=patch_detail)


MODEL_FILES = ("vae", "adapter", "refiner", "decoder", "prompt", "negative")
"""What the user may name beside a model."""
