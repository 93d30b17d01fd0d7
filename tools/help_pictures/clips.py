"""The sample clip, its plans, and what the tiny default makes of it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from torch import Tensor

from patchvsr_core import Canvas, PatchPlan, plan_patches
from patchvsr_core.hosts.diffusers.models import Models, load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.resample import resize
from patchvsr_core.settings import BICUBIC
from patchvsr_core.video import read_clip

from .drawing import ROOT, Box

EXAMPLES = ROOT / "examples"
FIRST, COUNT, SHOWN = 18, 5, 2
"""Frames of the sample that are upscaled, and which of them is shown."""
SOURCE, TARGET = (100, 240), (400, 960)
"""(height, width) of the sample, and of the result."""
FACE: Box = (14, 352, 200, 232)
"""What crops show of the sample, enlarged."""
PATCH: Box = (0, 352, 256, 256)
"""One of the patches of the sample at x4."""
PATCH_PX, STRIDE_PX = 256, 8


@lru_cache(maxsize=1)
def whole_sample() -> Tensor:
    """(40, 100, 240, 3) the sample clip."""
    return read_clip(EXAMPLES / "sample.mp4").frames


def sample() -> Tensor:
    """(COUNT, 100, 240, 3) some frames of it."""
    return whole_sample()[FIRST : FIRST + COUNT]


def enlarged(frames: Tensor) -> Tensor:
    """By bicubic, four times as large."""
    return resize(frames, (4 * frames.shape[1], 4 * frames.shape[2])).clamp(0, 1)


@lru_cache(maxsize=2)
def models(refiner: str | None = None) -> Models:
    """The tiny default."""
    return load_models("tiny", refiner=refiner, device="cpu")


@lru_cache(maxsize=8)
def restored(detail: float, refiner: str | None = None) -> Tensor:
    """(COUNT, 400, 960, 3) the sample by the tiny default."""
    settings = replace(models(refiner).defaults, detail=detail, base_layer=BICUBIC)
    return upscale(sample(), TARGET, models(refiner), settings)


@lru_cache(maxsize=4)
def unrefined(propagation: float = 0.0) -> Tensor:
    """The same without refiner and back-projection: what the sampler leaves."""
    choices = {"propagation": propagation, "propagation_start": 1.0, "refine_strength": 0.0, "fidelity_rounds": 0}
    return upscale(sample(), TARGET, models(), replace(models().defaults, **choices))


def plan(layout: str = "overlapping") -> PatchPlan:
    """Of the sample at x4, in a single window of time."""
    canvas = Canvas(COUNT, SOURCE, TARGET, STRIDE_PX, 1)
    return plan_patches(canvas, patch_px=PATCH_PX, layout=layout, window_frames=8, overlap_frames=2)


def cut(frame: Tensor, box: Box) -> Tensor:
    """A part of (H, W, 3)."""
    top, left, height, width = box
    return frame[top : top + height, left : left + width]
