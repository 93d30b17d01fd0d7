"""G-buffers of a clip: what its renderer wrote, or what can be told from the frames alone.

Source: RDG (CVPR 2025) for the normalisation; without a renderer motion is measured, depth is flat,
and the material is the frame without its shading.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MediaError
from ..optical_flow.estimators import Estimator, dis
from ..optical_flow.flow import ClipFlows
from ..resample import resize

NOTHING_THERE = 6e4
"""Distance from which a renderer means that a ray met nothing (Blender writes 1e10, in half precision 65504)."""
SHADING_PX = 8
"""The frame is averaged over about so many pixels to tell its shading."""
STEEPNESS = 20.0
"""How much a step of a whole normalised depth range per pixel tilts an estimated normal."""


@dataclass(frozen=True, eq=False)
class RenderPasses:
    """What a renderer knows of the frames of a clip, at their size; None where it said nothing."""

    flows: ClipFlows | None = None
    """Motion in pixels; only the way to the frame before is looked at."""
    depth: Tensor | None = None
    """(T, h, w) distance from the camera, in any unit."""
    normal: Tensor | None = None
    """(T, h, w, 3) in [-1, 1]."""
    albedo: Tensor | None = None
    """(T, h, w, 3) colour of the material without light, with the curve of a display as the frames have it."""


def make_gbuffers(
    frames: Tensor, passes: RenderPasses = RenderPasses(), estimator: Estimator | None = None
) -> dict[str, Tensor]:
    """A clip as :meth:`rdg.RDG.forward` takes it.

    Args:
        frames: (T, h, w, 3) in [0, 1].
        passes: what is None in it is estimated.
        estimator: measures the motion; None for dense inverse search.

    Returns:
        (1, T, channels, h, w) float32 tensors by name.

    Raises:
        MediaError: when a pass is not of the clip's size.
    """
    check_surfaces(frames, passes)
    image = frames.movedim(-1, 1).float()
    depth = torch.zeros_like(image[:, :1]) if passes.depth is None else normalise_depth(passes.depth)
    normal = estimate_normals(depth) if passes.normal is None else passes.normal.movedim(-1, 1).float()
    albedo = _remove_shading(image) if passes.albedo is None else passes.albedo.movedim(-1, 1).float()
    buffers = {
        "Image": image,
        "Motion": _motion(image, passes.flows, estimator),
        "Depth": depth,
        "Normal": (normal + 1) / 2,
        "BRDF": _normalise(albedo),
    }
    return {name: values[None].to(frames.device) for name, values in buffers.items()}


def check_surfaces(frames: Tensor, passes: RenderPasses) -> None:
    """That depth, normals and albedo are those of the clip.

    Raises:
        MediaError: when one is not of its size.
    """
    count, height, width, _ = frames.shape
    for name, values in (("Depth", passes.depth), ("Normal", passes.normal), ("Albedo", passes.albedo)):
        if values is not None and tuple(values.shape[:3]) != (count, height, width):
            raise MediaError(
                f"{name} has {len(values)} frames of {values.shape[2]}x{values.shape[1]}, the clip {count} of "
                f"{width}x{height}; render the passes with the frames they belong to."
            )


def normalise_depth(depth: Tensor) -> Tensor:
    """(T, h, w) distances as (T, 1, h, w): 0 at the nearest point of every frame, 1 at the farthest and at nothing."""
    depth = depth[:, None].float()
    there = depth.isfinite() & (depth < NOTHING_THERE)
    far = depth.where(there, -torch.inf).amax((1, 2, 3), keepdim=True)
    return _normalise(torch.where(there, depth, far.where(far.isfinite(), 0.0)))


def estimate_normals(depth: Tensor) -> Tensor:
    """Unit normals of normalised (T, 1, h, w) depth by Sobel's filter.

    Returns:
        (T, 3, h, w): x to the right, y up, z towards the camera. The floor points up, the left wall to the right.
    """
    slope = depth.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    slopes = F.conv2d(F.pad(depth, (1, 1, 1, 1), mode="replicate"), torch.stack([slope, -slope.T])[:, None])
    return F.normalize(torch.cat([STEEPNESS * slopes, torch.ones_like(depth)], 1), dim=1)


def _motion(image: Tensor, flows: ClipFlows | None, estimator: Estimator | None) -> Tensor:
    """Entry i leads from frame i + 1 to frame i; the last is empty."""
    last = image.new_zeros(1, 2, *image.shape[2:])
    if flows is None:
        if len(image) == 1:
            return last
        return torch.cat([(estimator or dis())(image[1:], image[:-1]).to(last), last])
    if (flows.frames, *flows.size) != (len(image), *image.shape[2:]):
        raise MediaError(
            f"The motion is that of {flows.frames} frames of {flows.size[1]}x{flows.size[0]}, the clip has "
            f"{len(image)} of {image.shape[3]}x{image.shape[2]}; give the motion of this very clip."
        )
    return torch.cat([flows.to_previous.to(last), last])


def _remove_shading(image: Tensor) -> Tensor:
    """The frame over its brightness at large."""
    brightness = image.mean(1, keepdim=True)
    height, width = image.shape[2:]
    coarse = F.adaptive_avg_pool2d(brightness, (max(1, height // SHADING_PX), max(1, width // SHADING_PX)))
    shading = resize(coarse.movedim(1, -1), (height, width))
    return image / (shading.movedim(-1, 1) + 0.1)


def _normalise(values: Tensor) -> Tensor:
    """Every frame's values between 0 and 1; 0 where they are all the same."""
    least, most = values.amin((1, 2, 3), keepdim=True), values.amax((1, 2, 3), keepdim=True)
    return (values - least) / (most - least).clamp(min=1e-6)
