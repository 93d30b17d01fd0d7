"""Denoising the canvas: noise levels and solvers, joint modulation of all patches, and what guides each prediction."""

from .conditions import Controls, PatchConditions
from .joint_modulation import fuse
from .schedules import noise_levels, star_schedule, step_count
from .solvers import SOLVERS, Denoiser, sigma_schedule

__all__ = [
    "SOLVERS",
    "Controls",
    "Denoiser",
    "PatchConditions",
    "fuse",
    "noise_levels",
    "sigma_schedule",
    "star_schedule",
    "step_count",
]
