"""The defaults of each kind of model."""

from __future__ import annotations

from dataclasses import replace

from .names import RESTORER
from .settings import Settings

TINY = Settings(layout="overlapping", base_layer=RESTORER)
"""The tiny default: what the restorer makes of the input; with ``patch_detail``, a single step of diffusion on top, in
which one grid is as good as three."""

WAN = Settings(
    patch_px=512,
    window_frames=81,
    overlap_frames=16,
    steps=20,
    shift=5.0,
    color="wavelet",
    noise_level=0.25,
    refine_strength=0.0,
)
"""A Wan with an adapter: from noise, at the size and length that it was trained for."""

WAN_PLAIN = Settings(
    patch_px=512,
    window_frames=81,
    overlap_frames=16,
    steps=10,
    shift=5.0,
    start=0.3,
    color="wavelet",
    low_frequency_guidance=0.5,
    projection_steps=1,
    eta=0.2,
    propagation_start=0.1,
    refine_strength=0.0,
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
