"""PatchVSR: video super-resolution to any size by jointly restored patches.

The parts are usable on their own: plan (``plan_patches``), encode, denoise (``fuse`` inside a
solver), decode, blend, refine. ``patchvsr_core.hosts.diffusers.pipeline`` runs them in order; it is imported on
demand, because it loads diffusers.
"""

from .adapter import Adapter, AdapterConfig, BaseSpec, PatchControl, load_adapter, save_adapter
from .errors import AdapterError, Cancelled, MediaError, ModelError, OutputError, PatchVSRError, PlanError
from .finish.back_projection import back_project
from .finish.color_fix import match_colors
from .finish.refine import Refiner, load_refiner, refine_frames
from .optical_flow.estimators import ESTIMATORS
from .optical_flow.flow import ClipFlows, clip_flows
from .plan.canvas import Canvas, Patch, PatchPlan
from .plan.planner import LAYOUTS, plan_patches
from .propagation.attention import AttentionRun
from .propagation.attention_options import AttentionOptions
from .propagation.canvas import CanvasPropagation, PropagationOptions
from .propagation.latent import propagate
from .quality import QualityReport, measure_quality
from .sampling.conditions import Controls, PatchConditions
from .sampling.joint_modulation import fuse
from .sampling.schedules import star_schedule
from .sampling.solvers import SOLVERS, Denoiser, sigma_schedule
from .settings import Settings
from .vae.codec import Codec, SpaceToDepth, WanVAE
from .vae.decode import Tiles, blend_tiles, decode_tiles
from .vae.encode import encode_canvas, encode_global
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
    "clip_flows",
    "decode_tiles",
    "encode_canvas",
    "encode_global",
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
