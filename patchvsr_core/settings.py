"""What the user may choose, with the defaults of each kind of model."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import PlanError

RANGES = {
    "window_frames": (1, math.inf),
    "overlap_frames": (0, math.inf),
    "steps": (1, math.inf),
    "guidance": (0.0, 100.0),
    "guidance_rescale": (0.0, 1.0),
    "softening": (1.0, 100.0),
    "propagation": (0.0, 1.0),
    "propagation_start": (0.0, 1.0),
    "propagation_end": (0.0, 1.0),
    "low_frequency_guidance": (0.0, 1.0),
    "projection_steps": (0, math.inf),
    "eta": (0.0, 1.0),
    "seed": (0, 2**63 - 1),
    "noise_level": (0.0, 1.0),
    "patch_strength": (0.0, 2.0),
    "global_strength": (0.0, 2.0),
    "patches_at_once": (0, math.inf),
    "auxiliary_start": (0.0, 1.0),
    "auxiliary_end": (0.0, 1.0),
    "skip_interval": (1, 100),
    "refine_strength": (0.0, 1.0),
    "detail": (0.0, 1.0),
    "restore_strength": (0.0, 2.0),
    "fidelity_rounds": (0, 100),
    "fidelity_strength": (0.0, 1.0),
}
"""Lowest and highest value; the planner judges sizes, the schedule noise levels."""
SCHEDULES = ("shifted", "star")
BICUBIC = "bicubic"
BASE_LAYERS = (BICUBIC, "dap", "rdg")
MODEL_FILES = ("vae", "adapter", "refiner", "decoder", "prompt", "negative")
"""What the user may name beside a model."""


@dataclass(frozen=True)
class Settings:
    """Choices of one run; see the fields.

    Raises:
        PlanError: for a value out of its range.
    """

    layout: str = "corner"
    patch_px: int = 256
    window_frames: int = 8
    overlap_frames: int = 2
    steps: int = 1
    solver: str = "euler"
    shift: float = 1.0
    start: float = 1.0
    """First noise level; below 1 a flow starts from the noised input."""
    guidance: float = 1.0
    """Classifier-free guidance away from the empty prompt; 1 is off and saves half the work."""
    guidance_rescale: float = 0.0
    """How far guidance is brought back to the spread of the positive prediction; 0.2 oversaturates less."""
    schedule: str = "shifted"
    """Noise levels: ``shifted`` (spread evenly, then moved by ``shift``) or ``star`` (STAR's own number of steps)."""
    propagation: float = 0.0
    """How much of its neighbours along the motion every frame takes; 0 is off; Wan 0.5, tiny default 0.25."""
    propagation_start: float = 0.4
    """Noise level from which on that is done, and ..."""
    propagation_end: float = 0.0
    """... down to which; steps count that pass through levels between them."""
    spatial_attention: bool = False
    """Patches also attend to the thinned whole frame (SAP)."""
    temporal_attention: bool = False
    """Patches also attend to the window of time before or after them (TAP)."""
    lazy_attention: bool = False
    """SAP with what the step before recorded: no second run of the patches, no effect on a single step."""
    attention_layers: str = "all"
    """Transformer blocks in which both act, such as 0-9, 20."""
    attention_offload: bool = False
    """Keep what patches remember in main memory instead of the GPU's."""
    softening: float = 1.0
    """Attention of the negative branch grows softer up to this (DSSAG); 1 is off, and guidance must be on."""
    low_frequency_guidance: float = 0.0
    """How strongly low frequencies of every prediction are held to the input's."""
    projection_steps: int = 0
    """At so many of the last steps predictions are back-projected in pixels."""
    eta: float = 0.0
    """Part of the noise that is exchanged at every step of a flow (Euler only)."""
    base_layer: str = BICUBIC
    """What enlarges the input for the patches to refine: one of :data:`BASE_LAYERS`."""
    seed: int = 0
    noise_level: float = 0.0
    """Noise augmentation of the patch condition: fidelity (0) to generation (about 0.3)."""
    patch_strength: float = 1.0
    global_strength: float = 1.0
    patches_at_once: int = 0
    """Patches per model call; 0: as many as fit and are of use."""
    auxiliary_start: float = 1.0
    """Noise level from which on auxiliary patches run, and ..."""
    auxiliary_end: float = 0.0
    """... down to which; at other steps the primary grid runs alone."""
    skip_interval: int = 1
    """Patches with little in them, or that stand still, run at every so manieth step only."""
    tile_px: int = 512
    tile_overlap_px: int = 64
    window: str = "linear"
    color: str = "none"
    refine_strength: float = 1.0
    detail: float = 0.0
    """What the refiner aims at: the most probable picture (0) or the crispest (1)."""
    fidelity_rounds: int = 8
    fidelity_strength: float = 1.0
    restore_strength: float = 1.0
    """Factor on the measured noise and compression that are removed; 0 keeps the input's, grain and all."""

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise PlanError(f"Schedule {self.schedule!r} is unknown; choose one of {', '.join(SCHEDULES)}.")
        if self.base_layer not in BASE_LAYERS:
            raise PlanError(f"Base layer {self.base_layer!r} is unknown; choose one of {', '.join(BASE_LAYERS)}.")
        if self.softening != 1 and self.guidance <= 1:
            raise PlanError("Detail guidance softens the negative branch; it needs a guidance above 1.")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                limits = f"must be at least {low}" if high == math.inf else f"must lie between {low} and {high}"
                raise PlanError(f"{name} is {value}; it {limits}.")


TINY = Settings(layout="overlapping")
"""The tiny default: a single step, in which one grid is as good as three."""

WAN = Settings(
    patch_px=512, window_frames=81, overlap_frames=16, steps=20, shift=5.0, color="wavelet", noise_level=0.25
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
)
"""A stock Wan without an adapter: a detail enhancer that starts from the noised input."""
