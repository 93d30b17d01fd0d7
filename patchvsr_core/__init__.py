"""PatchVSR: video super-resolution to any size by jointly restored patches.

The parts are usable on their own: plan (``plan_patches``), encode, denoise (``fuse`` inside a
solver), decode, blend, refine. ``patchvsr_core.hosts.diffusers.pipeline`` runs them in order; it is imported on
demand, because it loads diffusers.
"""

from .adapter import Adapter, AdapterConfig, BaseSpec, PatchControl, load_adapter, save_adapter
from .errors import AdapterError, Cancelled, MediaError, ModelError, OutputError, PatchVSRError, PlanError
from .finish import Refiner, back_project, load_refiner, match_colors, refine_frames
from .optical_flow import ESTIMATORS, ClipFlows, estimate_clip_flows
from .plan import LAYOUTS, Canvas, Patch, PatchPlan, plan_patches
from .propagation import AttentionOptions, AttentionRun, CanvasPropagation, PropagationOptions, propagate
from .quality import QualityReport, measure_quality
from .sampling import SOLVERS, Controls, Denoiser, PatchConditions, fuse, sigma_schedule, star_schedule
from .settings import Settings
from .vae import Codec, SpaceToDepth, Tiles, WanVAE, blend_tiles, decode_tiles, encode_canvas, encode_global
from .version import VERSION

__version__ = VERSION

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
    "load_refiner",
    "match_colors",
    "measure_quality",
    "plan_patches",
    "propagate",
    "refine_frames",
    "save_adapter",
    "sigma_schedule",
    "star_schedule",
]
