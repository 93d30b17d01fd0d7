"""The core without ComfyUI: a clip upscaled in one call, and joint modulation around a model of one's own.

python -m examples.core_api examples/sample.mp4 larger.mp4 --scale 4 --frames 8
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from patchvsr_core import (
    Canvas,
    Patch,
    QualityReport,
    SpaceToDepth,
    blend_tiles,
    decode_tiles,
    encode_canvas,
    fuse,
    measure_quality,
    plan_patches,
)
from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.plan.target_size import target_size
from patchvsr_core.video import VideoWriter, read_clip


def upscale_clip(source: Path, result: Path, *, scale: float, frames: int) -> QualityReport:
    """The first frames of a video, upscaled by the shipped model, measured and written; without sound."""
    clip = read_clip(source)
    small = clip.frames[:frames, ..., :3]
    target = target_size((clip.info.height, clip.info.width), scale=scale)
    models = load_models("tiny")  # a Wan: load_models("wan.safetensors", vae="vae.safetensors")
    settings = replace(models.defaults, restore_strength=0.0)
    large = upscale(small, target, models, settings)
    times = clip.timestamps[: len(large)]
    with VideoWriter(result, target, times, clip.time_base, fps=clip.info.fps, picture=clip.info.picture) as video:
        video.write(large)
    return measure_quality(large, small)


class OwnModel:
    """What joint modulation asks of a model: x0 of a batch of patches, one answer for each condition."""

    def __call__(self, x: Tensor, sigma: Tensor, control: Sequence[Patch]) -> list[Tensor]:
        """Put a network here; (N, C, t, h, w) in and out. This one believes what it is given."""
        return [x]


def own_patches(small: Tensor, target: tuple[int, int]) -> Tensor:
    """(T, h, w, 3) frames enlarged to (height, width), cut into patches, given to a model, fused and joined."""
    codec = SpaceToDepth()
    canvas = Canvas(len(small), (small.shape[1], small.shape[2]), target, codec.stride_px, codec.stride_frames)
    plan = plan_patches(canvas, patch_px=128, layout="corner", window_frames=8, overlap_frames=2)
    latent = encode_canvas(codec, small, canvas)
    (fused,) = fuse(OwnModel(), latent, latent.new_tensor(1.0), plan.patches, list, patches_at_once=4)
    return blend_tiles(decode_tiles(codec, fused, canvas)).clamp(0, 1)


def main() -> None:
    """Upscale a clip and say how good the result is."""
    parser = argparse.ArgumentParser(description="Upscale the first frames of a clip.")
    parser.add_argument("source", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--scale", type=float, default=4.0)
    parser.add_argument("--frames", type=int, default=8)
    options = parser.parse_args()
    print(upscale_clip(options.source, options.result, scale=options.scale, frames=options.frames).as_text())


if __name__ == "__main__":
    main()
