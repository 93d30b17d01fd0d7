"""Results of nodes at 1:1, and what nodes for looking show."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from patchvsr_core import estimate_clip_flows, measure_quality
from patchvsr_core.preview.compare import Version, crop_grid, same_size, side_by_side, split_view
from patchvsr_core.preview.draw import draw_flow
from patchvsr_core.preview.patch_preview import upsample_nearest
from patchvsr_core.realtime.exr_passes import read_passes
from patchvsr_core.realtime.upscaler import load_fast
from patchvsr_core.settings import Settings
from patchvsr_core.training.renders import light_noise
from patchvsr_core.video import read_clip

from .clips import COUNT, EXAMPLES, FACE, FIRST, PATCH, SHOWN, TARGET, cut, enlarged, restored, sample
from .drawing import Box, bytes_of, half, sheet

BOXES: Box = (210, 460, 260, 232)
"""What crops show of the sample render, enlarged."""
NOISE = 0.2
"""Relative deviation of the render's light."""


def flow() -> np.ndarray:
    """A frame and its motion."""
    frames = enlarged(sample())
    motion = draw_flow(estimate_clip_flows(frames.movedim(-1, 1)).to_next)
    return sheet({"frame": half(frames[SHOWN]), "motion to the next frame": half(motion[SHOWN])}, columns=1)


def detail() -> np.ndarray:
    """The refiner asked for more and more detail."""
    versions = {"bicubic": enlarged(sample())}
    versions |= {f"detail {value:g}": restored(value) for value in (0.0, 0.5, 1.0)}
    return crops(versions, FACE)


def conditional() -> np.ndarray:
    """Both refiners, and what they aim at."""
    return crops(
        {
            "bicubic": enlarged(sample()),
            "Refine & Fidelity, detail 0.5": restored(0.5),
            "Conditional Refiner, detail 0.5": restored(0.5, "conditional"),
            "original": read_clip(EXAMPLES / "sample_original.mp4").frames[FIRST : FIRST + COUNT],
        },
        FACE,
    )


def dap() -> np.ndarray:
    """The real-time network for footage."""
    return crops({"bicubic": enlarged(sample()), "DAP Upscale": load_fast("dap").upscale(sample())}, FACE)


def patch_preview() -> np.ndarray:
    """What Patch Preview shows of one patch."""
    clips = {
        "input": upsample_nearest(sample(), TARGET),
        "bicubic": enlarged(sample()),
        "PatchVSR": restored(Settings.detail),
    }
    named = [Version(name, cut(clip[SHOWN], PATCH)[None]) for name, clip in clips.items()]
    return bytes_of(side_by_side(named)[0].numpy())


def split() -> np.ndarray:
    """What Compare makes of the sample."""
    versions = [Version("input", sample()), Version("PatchVSR, detail 0.5", restored(0.5))]
    shown = same_size([Version(v.name, v.frames[SHOWN : SHOWN + 1]) for v in versions])
    view = split_view(shown, position=0.46)[0]
    return bytes_of(view[:, 200:800].numpy())


def crop_table() -> np.ndarray:
    """The grid of crops of the same two."""
    versions = [Version("input", enlarged(sample())), Version("PatchVSR, detail 0.5", restored(0.5))]
    shown = [Version(v.name, v.frames[SHOWN : SHOWN + 1]) for v in versions]
    return bytes_of(crop_grid(shown, crop_px=176, crops=2)[0].numpy())


def heat() -> np.ndarray:
    """A frame and where it flickers."""
    frames = restored(1.0)
    report = measure_quality(frames, sample())
    return sheet({"detail 1": half(frames[SHOWN]), "flicker": half(report.heat_map("flicker")[SHOWN])}, columns=1)


def render_passes() -> np.ndarray:
    """What Load Render Passes gives, of one frame."""
    image, _, found = read_passes(EXAMPLES / "render")
    assert found.normal is not None and found.albedo is not None, "the sample render has these passes"
    pictures = {"image": image, "normal": (found.normal + 1) / 2, "albedo": found.albedo}
    return sheet({label: pixels[SHOWN].numpy() for label, pixels in pictures.items()}, columns=3)


def rdg() -> np.ndarray:
    """The real-time network for renders, of light as noisy as that of few samples."""
    image, _, found = read_passes(EXAMPLES / "render")
    noisy = light_noise(image, NOISE, np.random.default_rng(0))
    return crops({"bicubic": enlarged(noisy), "RDG Upscale": load_fast("rdg").upscale(noisy, passes=found)}, BOXES)


def crops(versions: dict[str, Tensor], window: Box) -> np.ndarray:
    """The same place of every version at 1:1, two in a row."""
    return sheet({label: cut(frames[SHOWN], window).numpy() for label, frames in versions.items()}, columns=2)
