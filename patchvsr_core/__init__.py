"""PatchVSR: video super-resolution to any size by jointly restored patches.

    models = patchvsr_core.load_models("tiny")
    frames = patchvsr_core.upscale(frames, (1080, 1920), models, patchvsr_core.Settings(layout="overlapping"))

Frames are (T, h, w, 3) tensors in [0, 1]. The parts are usable on their own: plan (``plan_patches``), encode, denoise
(``fuse`` inside a solver), decode, blend, refine. Everything is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import VERSION

if TYPE_CHECKING:
    from .adapter import Adapter, AdapterConfig, BaseSpec, PatchControl, load_adapter, save_adapter
    from .errors import AdapterError, Cancelled, MediaError, ModelError, OutputError, PatchVSRError, PlanError
    from .finish import Refiner, back_project, load_refiner, match_colors, refine_frames
    from .hosts.diffusers.models import Models, load_models
    from .hosts.diffusers.pipeline import upscale
    from .optical_flow import ESTIMATORS, ClipFlows, estimate_clip_flows
    from .plan import LAYOUTS, Canvas, Patch, PatchPlan, plan_patches
    from .propagation import AttentionOptions, AttentionRun, CanvasPropagation, PropagationOptions, propagate
    from .quality import QualityReport, measure_quality
    from .sampling import SOLVERS, Controls, Denoiser, PatchConditions, fuse, sigma_schedule, star_schedule
    from .settings import Settings
    from .vae import Codec, SpaceToDepth, Tiles, WanVAE, blend_tiles, decode_tiles, encode_canvas, encode_global

__version__ = VERSION

_HOMES = (
    "errors",
    "settings",
    "plan",
    "sampling",
    "adapter",
    "vae",
    "propagation",
    "optical_flow",
    "finish",
    "quality",
    "hosts.diffusers.models",
    "hosts.diffusers.pipeline",
)
"""Where the public names are, in the order in which they are looked for: what loads diffusers comes last."""

__all__ = [
    "ESTIMATORS",
    "LAYOUTS",
    "SOLVERS",
    "Adapter",
    "AdapterConfig",
    "AdapterError",
    "AttentionOptions",
    "AttentionRun",
    "BaseSpec",
    "Cancelled",
    "Canvas",
    "CanvasPropagation",
    "ClipFlows",
    "Codec",
    "Controls",
    "Denoiser",
    "MediaError",
    "ModelError",
    "Models",
    "OutputError",
    "Patch",
    "PatchConditions",
    "PatchControl",
    "PatchPlan",
    "PatchVSRError",
    "PlanError",
    "PropagationOptions",
    "QualityReport",
    "Refiner",
    "Settings",
    "SpaceToDepth",
    "Tiles",
    "WanVAE",
    "back_project",
    "blend_tiles",
    "decode_tiles",
    "encode_canvas",
    "encode_global",
    "estimate_clip_flows",
    "fuse",
    "load_adapter",
    "load_models",
    "load_refiner",
    "match_colors",
    "measure_quality",
    "plan_patches",
    "propagate",
    "refine_frames",
    "save_adapter",
    "sigma_schedule",
    "star_schedule",
    "upscale",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _HOMES:
            module = import_module(f".{home}", __name__)
            if hasattr(module, name):
                globals()[name] = getattr(module, name)
                return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
