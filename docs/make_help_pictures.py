"""Makes the pictures of the help pages from the sample clip and the sample render, with the pack's own code.

    python docs/make_help_pictures.py

Takes two minutes on a CPU. Needs OpenEXR for the render.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from patchvsr_core import Canvas, clip_flows, measure_quality, plan_patches
from patchvsr_core.compare import Version, crop_grid, side_by_side, split_view
from patchvsr_core.hosts.models import load_models
from patchvsr_core.picture import draw_flow, draw_plan
from patchvsr_core.pipeline import upscale
from patchvsr_core.preview import squares
from patchvsr_core.realtime.fast import load_fast
from patchvsr_core.realtime.passes import read_passes
from patchvsr_core.resample import resize
from patchvsr_core.training.renders import light_noise
from patchvsr_core.video import read_clip

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "web" / "docs"
EXAMPLES = ROOT / "examples"
FIRST, COUNT, SHOWN = 18, 5, 2
"""Frames of the sample that are upscaled, and which of them is shown."""
FACE = (14, 352, 200, 232)
"""(top, left, height, width) of what crops show of the sample, enlarged."""
PATCH = (0, 352, 256, 256)
"""One of the patches of the sample at x4."""
BOXES = (210, 460, 260, 232)
"""... and of the sample render."""
NOISE = 0.2
"""Relative deviation of the render's light."""
STRIDE_PX = 8
BAR_PX = 22
QUALITY = 82


@lru_cache(maxsize=1)
def sample() -> Tensor:
    """(T, 100, 240, 3) some frames of the sample clip."""
    return read_clip(EXAMPLES / "sample.mp4").frames[FIRST : FIRST + COUNT]


@lru_cache(maxsize=8)
def restored(detail: float, refiner: str | None = None) -> Tensor:
    """(T, 400, 960, 3) the sample by the tiny default."""
    models = load_models("tiny", refiner=refiner, device="cpu")
    return upscale(sample(), (400, 960), models, replace(models.defaults, detail=detail))


def enlarged(frames: Tensor) -> Tensor:
    """By bicubic, four times as large."""
    return resize(frames, (4 * frames.shape[1], 4 * frames.shape[2])).clamp(0, 1)


def layouts() -> np.ndarray:
    """Two plans over the sample."""
    canvas = Canvas(COUNT, (100, 240), (400, 960), STRIDE_PX, 1)
    plans = {
        name: plan_patches(canvas, patch_px=256, layout=name, window_frames=8, overlap_frames=2)
        for name in ("corner", "overlapping")
    }
    drawn = {f"{name}: {len(plan.patches)} patches": draw_plan(plan, sample()[0])[0] for name, plan in plans.items()}
    return sheet({label: half(picture) for label, picture in drawn.items()}, columns=1)


def flow() -> np.ndarray:
    """A frame and its motion."""
    frames = enlarged(sample())
    motion = draw_flow(clip_flows(frames.movedim(-1, 1)).to_next)
    pictures = {"frame": frames[SHOWN], "motion to the next frame": motion[SHOWN]}
    return sheet({label: half(picture) for label, picture in pictures.items()}, columns=1)


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
    source, (top, left, height, width) = sample(), PATCH
    clips = [squares(source, (400, 960)), enlarged(source), restored(0.0)]
    parts = [clip[SHOWN : SHOWN + 1, top : top + height, left : left + width] for clip in clips]
    named = [Version(name, part) for name, part in zip(("input", "bicubic", "PatchVSR"), parts, strict=True)]
    return bytes_of(side_by_side(named)[0].numpy())


def split() -> np.ndarray:
    """What Compare makes of the sample."""
    versions = [Version("input", sample()), Version("PatchVSR, detail 0.5", restored(0.5))]
    view = split_view([Version(v.name, v.frames[SHOWN : SHOWN + 1]) for v in versions], position=0.46)[0]
    return bytes_of(view[:, 200:800].numpy())


def crop_table() -> np.ndarray:
    """The grid of crops of the same two."""
    versions = [Version("input", enlarged(sample())), Version("PatchVSR, detail 0.5", restored(0.5))]
    cut = [Version(v.name, v.frames[SHOWN : SHOWN + 1]) for v in versions]
    return bytes_of(crop_grid(cut, crop_px=176, crops=2)[0].numpy())


def heat() -> np.ndarray:
    """A frame and where it flickers."""
    frames = restored(1.0)
    report = measure_quality(frames, sample())
    pictures = {"detail 1": frames[SHOWN], "flicker": report.heat_map("flicker")[SHOWN]}
    return sheet({label: half(picture) for label, picture in pictures.items()}, columns=1)


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


def half(picture: Tensor) -> np.ndarray:
    """At half its size, (h, w, 3)."""
    pixels = np.ascontiguousarray(picture.numpy())
    return cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def crops(versions: dict[str, Tensor], window: tuple[int, int, int, int]) -> np.ndarray:
    """The same place of every version at 1:1, two in a row."""
    top, left, height, width = window
    rows, columns = slice(top, top + height), slice(left, left + width)
    return sheet({label: frames[SHOWN, rows, columns].numpy() for label, frames in versions.items()}, columns=2)


def sheet(pictures: dict[str, np.ndarray], columns: int) -> np.ndarray:
    """Pictures of one size in [0, 1], each with its name below: (H, W, 3) uint8."""
    cells = [np.concatenate([bytes_of(picture), label(text, picture.shape[1])]) for text, picture in pictures.items()]
    rows = [np.concatenate(cells[k : k + columns], axis=1) for k in range(0, len(cells), columns)]
    return np.concatenate(rows)


def bytes_of(picture: np.ndarray) -> np.ndarray:
    """From [0, 1] to uint8."""
    return (picture.clip(0, 1) * 255).round().astype(np.uint8)


def label(text: str, width: int) -> np.ndarray:
    """Black on white, (BAR_PX, width, 3) uint8."""
    bar = np.full((BAR_PX, width, 3), 255, np.uint8)
    return cv2.putText(bar, text, (5, BAR_PX - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)


PICTURES: dict[str, Callable[[], np.ndarray]] = {
    "PatchVSR_PatchPlanner/layouts": layouts,
    "PatchVSR_OpticalFlow/flow": flow,
    "PatchVSR_RefineFidelity/detail": detail,
    "PatchVSR_ConditionalRefiner/conditional": conditional,
    "PatchVSR_DAPUpscale/dap": dap,
    "PatchVSR_PatchPreview/patch": patch_preview,
    "PatchVSR_Compare/split": split,
    "PatchVSR_Compare/crops": crop_table,
    "PatchVSR_QualityReport/heat": heat,
    "PatchVSR_LoadRenderPasses/passes": render_passes,
    "PatchVSR_RDGUpscale/rdg": rdg,
}
"""By their paths under ``web/docs``, without the suffix."""


def write(name: str) -> None:
    """Make a picture and write it as JPEG, in full colour resolution."""
    pixels = PICTURES[name]()[:, :, ::-1]
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY, *sampling])
    path = DOCS / f"{name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())
    print(f"{path.relative_to(ROOT)}: {pixels.shape[1]}x{pixels.shape[0]}, {len(data) / 1000:.0f} kB")


def main() -> None:
    """Make all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description="Make the pictures of the help pages.")
    parser.add_argument("names", nargs="*", default=list(PICTURES), help="such as PatchVSR_OpticalFlow/flow")
    torch.set_grad_enabled(False)
    for name in parser.parse_args().names:
        write(name)


if __name__ == "__main__":
    main()
