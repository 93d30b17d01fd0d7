"""G-buffers of a clip, from render passes or estimated from the frames.

Source: RDG (CVPR 2025) for the normalisation. Without render passes motion is optical flow, depth is
constant, and the albedo is the frame divided by its estimated shading.
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
from ..srgb import to_linear

NOTHING_THERE = 6e4
"""Distance from which on a ray hit nothing (Blender writes 1e10, in half precision 65504)."""
SHADING_PX = 8
"""Side of the areas over which luma is averaged to estimate shading, approximately."""
NEUTRAL_ALBEDO = 0.25
"""Grey that stands for a missing albedo in the published networks, which estimates mislead: the best of six constants
and the estimate on renders before black, on a game and on our own renders."""
STEEPNESS = 20.0
"""Scale of the depth gradient in estimated normals."""


@dataclass(frozen=True, eq=False)
class RenderPasses:
    """Render passes of a clip at its resolution; None where a pass is missing."""

    flows: ClipFlows | None = None
    """Motion in pixels; only the direction to the previous frame is used."""
    depth: Tensor | None = None
    """(T, h, w) distance from the camera, in any unit."""
    normal: Tensor | None = None
    """(T, h, w, 3) in [-1, 1]."""
    albedo: Tensor | None = None
    """(T, h, w, 3) material colour without lighting, display-referred like the frames; may exceed 1."""


def make_gbuffers(
    frames: Tensor,
    passes: RenderPasses = RenderPasses(),
    estimator: Estimator | None = None,
    *,
    published: bool = False,
) -> dict[str, Tensor]:
    """Prepare the inputs of :meth:`rdg.RDG.forward` for a clip.

    Args:
        frames: (T, h, w, 3) in [0, 1].
        passes: passes that are None are estimated.
        estimator: of the motion; None for dense inverse search.
        published: prepare them as the authors of RDG do: the albedo in linear light, from its least to its greatest
            value. Surfaces without a pass are then neutral, not estimated: grey, and facing the camera.

    Returns:
        (1, T, channels, h, w) float32 tensors by name.

    Raises:
        MediaError: when a pass does not have the shape of the clip.
    """
    check_surfaces(frames, passes)
    image = frames.movedim(-1, 1).float()
    depth = torch.zeros_like(image[:, :1]) if passes.depth is None else normalise_depth(passes.depth)
    normal = (
        estimate_normals(depth * (not published)) if passes.normal is None else passes.normal.movedim(-1, 1).float()
    )
    buffers = {
        "Image": image,
        "Motion": _motion(image, passes.flows, estimator),
        "Depth": depth,
        "Normal": (normal + 1) / 2,
        "BRDF": _brdf(image, passes.albedo, published),
    }
    return {name: values[None].to(frames.device) for name, values in buffers.items()}


def check_surfaces(frames: Tensor, passes: RenderPasses) -> None:
    """Raise unless depth, normals and albedo have the shape of the clip.

    Raises:
        MediaError: when one has not.
    """
    count, height, width, _ = frames.shape
    for name, values in (("Depth", passes.depth), ("Normal", passes.normal), ("Albedo", passes.albedo)):
        if values is not None and tuple(values.shape[:3]) != (count, height, width):
            raise MediaError(
                f"{name} has {len(values)} frames of {values.shape[2]}x{values.shape[1]}, the clip {count} of "
                f"{width}x{height}; render the passes together with their frames."
            )


def normalise_depth(depth: Tensor) -> Tensor:
    """Normalise (T, h, w) to (T, 1, h, w): 0 at the nearest point of a frame, 1 at the farthest and beyond."""
    depth = depth[:, None].float()
    there = depth.isfinite() & (depth < NOTHING_THERE)
    far = depth.where(there, -torch.inf).amax((1, 2, 3), keepdim=True)
    return _normalise(torch.where(there, depth, far.where(far.isfinite(), 0.0)))


def estimate_normals(depth: Tensor) -> Tensor:
    """Estimate unit normals from normalised (T, 1, h, w) depth with a Sobel filter.

    Returns:
        (T, 3, h, w): x to the right, y up, z towards the camera; the floor points up, a left wall to the right.
    """
    slope = depth.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    slopes = F.conv2d(F.pad(depth, (1, 1, 1, 1), mode="replicate"), torch.stack([slope, -slope.T])[:, None])
    return F.normalize(torch.cat([STEEPNESS * slopes, torch.ones_like(depth)], 1), dim=1)


def _motion(image: Tensor, flows: ClipFlows | None, estimator: Estimator | None) -> Tensor:
    """(T, 2, h, w); entry i is the motion from frame i + 1 to frame i, the last one is zero."""
    last = image.new_zeros(1, 2, *image.shape[2:])
    if flows is None:
        if len(image) == 1:
            return last
        return torch.cat([(estimator or dis())(image[1:], image[:-1]).to(last), last])
    if (flows.frames, *flows.size) != (len(image), *image.shape[2:]):
        raise MediaError(
            f"The motion has {flows.frames} frames of {flows.size[1]}x{flows.size[0]} but the clip has "
            f"{len(image)} of {image.shape[3]}x{image.shape[2]}; give the motion of the same clip."
        )
    return torch.cat([flows.to_previous.to(last), last])


def _brdf(image: Tensor, albedo: Tensor | None, published: bool) -> Tensor:
    """(T, 3, h, w) in [0, 1]."""
    if albedo is not None:
        albedo = albedo.movedim(-1, 1).float()
        return _normalise(to_linear(albedo) if published else albedo.clamp(max=1))
    return torch.full_like(image, NEUTRAL_ALBEDO) if published else _normalise(_remove_shading(image))


def _remove_shading(image: Tensor) -> Tensor:
    """Divide frames by their low-frequency brightness."""
    brightness = image.mean(1, keepdim=True)
    height, width = image.shape[2:]
    coarse = F.adaptive_avg_pool2d(brightness, (max(1, height // SHADING_PX), max(1, width // SHADING_PX)))
    shading = resize(coarse.movedim(1, -1), (height, width))
    return image / (shading.movedim(-1, 1) + 0.1)


def _normalise(values: Tensor) -> Tensor:
    """Normalise every frame's values to [0, 1]; 0 where they are constant."""
    least, most = values.amin((1, 2, 3), keepdim=True), values.amax((1, 2, 3), keepdim=True)
    return (values - least) / (most - least).clamp(min=1e-6)
