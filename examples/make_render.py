"""Renders the sample of Load Render Passes: frames with their passes, as Blender would write them.

    python examples/make_render.py PHOTOGRAPHS examples/render --seed 8

Needs OpenEXR. The truth, four times as large, is written beside it as a video without loss if ``--truth`` names one.
"""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from patchvsr_core.training.rdg_task import read_photographs
from patchvsr_core.training.renders import RenderedClip, render_clip
from patchvsr_core.video import VideoWriter

LAYER = "ViewLayer"
SIZE = (480, 864)
"""Of the truth."""


def linear(display: Tensor) -> np.ndarray:
    """Scene-linear light of colours as a display shows them (sRGB)."""
    values = display.numpy()
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def channels(clip: RenderedClip, index: int) -> dict[str, np.ndarray]:
    """Of one frame, under Blender's names; x and y of the motion, with y up."""
    dx, dy = clip.motion[index].numpy()
    planes = {
        "Combined": ("RGB", linear(clip.small[index])),
        "Diffuse Color": ("RGB", linear(clip.albedo[index])),
        "Normal": ("XYZ", clip.normal[index].numpy()),
        "Vector": ("XY", np.stack([dx, -dy], -1)),
        "Depth": ("Z", clip.depth[index].numpy()[..., None]),
    }
    return {
        f"{LAYER}.{name}.{letter}": np.ascontiguousarray(plane[..., k], np.float16)
        for name, (letters, plane) in planes.items()
        for k, letter in enumerate(letters)
    }


def main() -> None:
    """Render and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, nargs="+", help="textures: files, or folders of them")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--truth", type=Path, help="video file for the true frames")
    options = parser.parse_args()
    files = [file for path in options.photographs for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    clip = render_clip(np.random.default_rng(options.seed), read_photographs(files), options.frames, SIZE)
    options.out.mkdir(parents=True, exist_ok=True)
    for index in range(options.frames):
        header = {"compression": OpenEXR.DWAA_COMPRESSION, "type": OpenEXR.scanlineimage}
        with OpenEXR.File(header, channels(clip, index)) as file:
            file.write(str(options.out / f"frame_{index + 1:04d}.exr"))
    if options.truth:
        times = range(options.frames)
        with VideoWriter(options.truth, SIZE, times, Fraction(1, 24), fps=Fraction(24), codec="ffv1") as writer:
            writer.write(clip.truth)


if __name__ == "__main__":
    main()
