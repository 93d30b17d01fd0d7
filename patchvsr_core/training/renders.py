"""Small rendered clips with exact G-buffers: a camera moves through boxes and spheres with photographs on them.

A ray is cast for every sample. Its nearest hit gives colour, material, normal, distance and, from
where that very point was a frame before, motion. Lengths are in units of the world, y is up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..optical_flow.flow import ClipFlows
from ..realtime.gbuffers import RenderPasses
from .scenes import MIP_LEVELS, Pose, Primitive, draw_scene

SUPERSAMPLES = 2
"""Samples along each side of a pixel of the true frame."""
NOTHING = 1e10
"""Distance of the sky, as Blender writes it."""


@dataclass(frozen=True, eq=False)
class RenderedClip:
    """One clip at ``scale`` times the input's size, with the input and its passes."""

    truth: Tensor
    """(T, H, W, 3) in [0, 1]."""
    small: Tensor
    """(T, h, w, 3) in [0, 1], as few samples show it."""
    motion: Tensor
    """(T, 2, h, w) pixels of the input: from every frame to the one before; empty in the first."""
    depth: Tensor
    """(T, h, w); :data:`NOTHING` for the sky."""
    normal: Tensor
    """(T, h, w, 3) in [-1, 1], in the world's axes."""
    albedo: Tensor
    """(T, h, w, 3) in [0, 1]."""
    samples: int
    """Samples that a pixel of the input is made of."""

    def passes(self) -> RenderPasses:
        """All passes but the motion to the next frame, which is not used."""
        motion = self.motion[1:]
        return RenderPasses(ClipFlows(torch.zeros_like(motion), motion), self.depth, self.normal, self.albedo)


def light_noise(frames: Tensor, level: float, rng: np.random.Generator) -> Tensor:
    """Frames as a path tracer with few samples makes them: their light is noisy, the passes of materials are not.

    Args:
        frames: (T, h, w, 3) in [0, 1].
        level: relative deviation of the light of a pixel; 0.2 is what some 25 samples of diffuse light leave.

    Returns:
        the same shape, in [0, 1].
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    drawn = torch.randn((*frames.shape[:3], 1), generator=generator)
    return (frames * (1 + level * drawn).clamp(min=0)).clamp(0, 1)


@dataclass(frozen=True, eq=False)
class _Hits:
    """What rays meet first; (N, ...) tensors."""

    distance: Tensor
    primitive: Tensor
    """Number of the primitive; -1: the sky."""
    local: Tensor
    """The place in the primitive's own axes."""
    normal: Tensor


def render_clip(
    rng: np.random.Generator,
    photographs: Sequence[Tensor],
    frames: int,
    size: tuple[int, int],
    scale: int = 4,
    grain: float = 0.0,
) -> RenderedClip:
    """A clip of a scene drawn at random.

    Args:
        photographs: (H, W, 3) pictures in [0, 1] to choose textures from.
        size: (height, width) of the truth; multiples of ``scale``.
        grain: share of surfaces with fine grain on their photograph.
    """
    scene = draw_scene(rng, photographs, frames, grain)
    primitives, cameras, lens = scene.primitives, scene.cameras, scene.lens
    kept = int(rng.choice((1, 2, 4), p=(0.25, 0.25, 0.5)))  # groups of samples along each side of an input's pixel
    shown = []
    for index in range(frames):
        rays = _make_rays(cameras[index], lens, (size[0] * SUPERSAMPLES, size[1] * SUPERSAMPLES))
        hits = _cast_rays(primitives, index, cameras[index].centre, rays)
        albedo = _sample_albedo(primitives, hits, lens * size[0] * SUPERSAMPLES, scene.sky)
        light, gleam = _shade(primitives, index, cameras[index].centre, rays, hits, scene.sun)
        lit = torch.where(hits.primitive >= 0, scene.ambient + (1 - scene.ambient) * light, 1)
        colour = (albedo * lit[:, None] + gleam[:, None]).clamp(0, 1)
        motion = _project_motion(primitives, index, cameras, lens, hits, rays, size)
        shown.append(_downsample(colour, albedo, hits, motion, size, scale, kept))
    truth, small, motion, depth, normal, albedo = (torch.stack(part) for part in zip(*shown, strict=True))
    return RenderedClip(truth, small, motion, depth, normal, albedo, (2 * kept) ** 2)


def _make_rays(camera: Pose, lens: float, size: tuple[int, int]) -> Tensor:
    """(N, 3) directions through the middles of samples; of depth 1 along the view."""
    height, width = size
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    across, down = (x - width / 2) / (lens * height), (y - height / 2) / (lens * height)
    return torch.stack([across, -down, torch.ones_like(x)], -1).view(-1, 3) @ camera.axes.T


def _cast_rays(primitives: list[Primitive], index: int, start: Tensor, rays: Tensor) -> _Hits:
    """The nearest hits of rays from ``start``, (3,) or (N, 3)."""
    distance = torch.full((len(rays),), NOTHING)
    primitive = torch.full((len(rays),), -1)
    local, normal = torch.zeros_like(rays), torch.zeros_like(rays)
    for number, one in enumerate(primitives):
        pose = one.poses[index]
        origin, direction = pose.local(start.expand_as(rays)), rays @ pose.axes
        reached, facing = (
            _intersect_sphere(one, origin, direction) if one.is_sphere else _intersect_box(one, origin, direction)
        )
        nearer = reached < distance
        distance = torch.where(nearer, reached, distance)
        primitive = torch.where(nearer, number, primitive)
        local = torch.where(nearer[:, None], origin + reached[:, None] * direction, local)
        normal = torch.where(nearer[:, None], facing @ pose.axes.T, normal)
    return _Hits(distance, primitive, local, normal)


def _intersect_sphere(one: Primitive, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    radius = one.half[0]
    square, middle = direction.square().sum(1), (origin * direction).sum(1)
    under = middle.square() - square * (origin.square().sum(1) - radius.square())
    reached = (-middle - under.clamp(min=0).sqrt()) / square
    reached = torch.where((under > 0) & (reached > 1e-3), reached, torch.inf)
    return reached, F.normalize(origin + reached.clamp(max=NOTHING)[:, None] * direction, dim=1)


def _intersect_box(one: Primitive, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """From outside its front, from inside its back."""
    step = direction.where(direction.abs() > 1e-8, 1e-8)
    low, high = (-one.half - origin) / step, (one.half - origin) / step
    enter, leave = torch.minimum(low, high).max(1), torch.maximum(low, high).min(1)
    is_hit = enter.values < leave.values
    outside = enter.values > 1e-3
    reached = torch.where(outside, enter.values, leave.values)
    side = torch.where(outside, enter.indices, leave.indices)
    facing = F.one_hot(side, 3) * -direction.gather(1, side[:, None]).sign()
    return torch.where(is_hit & (reached > 1e-3), reached, torch.inf), facing.float()


def _sample_albedo(primitives: list[Primitive], hits: _Hits, samples_per_slope: float, sky: Tensor) -> Tensor:
    """(N, 3) colours of the materials; the sky's is its own."""
    out = sky.expand(len(hits.primitive), 3).clone()
    for number, one in enumerate(primitives):
        chosen = (hits.primitive == number).nonzero()[:, 0]
        if not len(chosen):
            continue
        place = hits.local[chosen] / one.half
        if one.is_sphere:
            across, down = torch.atan2(place[:, 0], place[:, 2]), torch.asin(place[:, 1].clamp(-1, 1))
            at = torch.stack([across, down], 1) * one.half[0]
        else:
            side = place.abs().argmax(1)
            first, second = (side + 1) % 3, (side + 2) % 3
            at = torch.stack([hits.local[chosen].gather(1, axis[:, None])[:, 0] for axis in (first, second)], 1)
        footprint = hits.distance[chosen] * one.texels / samples_per_slope
        level = footprint.clamp(min=1).log2().clamp(max=MIP_LEVELS - 1.001)
        out[chosen] = _sample_texture(one.texture, at * one.texels, level)
    return out


def _sample_texture(texture: list[Tensor], at: Tensor, level: Tensor) -> Tensor:
    """(N, 3) from two neighbouring levels at (N, 2) places, in texels of the largest."""
    out = at.new_zeros(len(at), 3)
    size = at.new_tensor([texture[0].shape[3], texture[0].shape[2]])
    grid = (2 * at / size)[None, None]
    for number, picture in enumerate(texture):
        share = (1 - (level - number).abs()).clamp(min=0)
        chosen = share.nonzero()[:, 0]
        if len(chosen):
            found = F.grid_sample(picture, grid[:, :, chosen], padding_mode="reflection", align_corners=False)
            out[chosen] += share[chosen, None] * found[0, :, 0].T
    return out


def _shade(
    primitives: list[Primitive], index: int, eye: Tensor, rays: Tensor, hits: _Hits, sun: Tensor
) -> tuple[Tensor, Tensor]:
    """(N,) each: light of a sun that casts hard shadows (Lambert), and its reflection (Blinn-Phong)."""
    met = hits.primitive >= 0
    places = eye + hits.distance.where(met, 0.0)[:, None] * rays
    # A room has no roof for the sun.
    shade = _cast_rays(primitives[1:], index, places + 2e-3 * hits.normal, sun.expand_as(places)).primitive >= 0
    light = (hits.normal @ sun).clamp(min=0) * ~shade
    half = F.normalize(sun - F.normalize(rays, dim=1), dim=1)
    shine = torch.tensor([one.shine for one in primitives] + [0.0])[hits.primitive]
    return light, shine * (hits.normal * half).sum(1).clamp(min=0) ** 40 * (light > 0)


def _project_motion(
    primitives: list[Primitive],
    index: int,
    cameras: list[Pose],
    lens: float,
    hits: _Hits,
    rays: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """(N, 2) pixels of the truth: from where a point is seen to where the frame before had it."""
    if index == 0:
        return torch.zeros(len(rays), 2)
    now, then = cameras[index], cameras[index - 1]
    place = now.centre + 1e4 * rays
    before = place.clone()  # the sky is far and still
    for number, one in enumerate(primitives):
        chosen = (hits.primitive == number)[:, None]
        before = torch.where(chosen, one.poses[index - 1].world(hits.local), before)
        place = torch.where(chosen, one.poses[index].world(hits.local), place)
    return (_project(then, lens, before) - _project(now, lens, place)) * size[0]


def _project(camera: Pose, lens: float, places: Tensor) -> Tensor:
    """(N, 2) across and down, in heights of the picture."""
    x, y, z = camera.local(places).unbind(1)
    return torch.stack([x, -y], 1) * lens / z.clamp(min=1e-2)[:, None]


def _downsample(
    colour: Tensor, albedo: Tensor, hits: _Hits, motion: Tensor, size: tuple[int, int], scale: int, kept: int
) -> tuple[Tensor, ...]:
    """In the order of :class:`RenderedClip`; passes of distance and motion are not filtered, as a renderer's."""
    height, width = (side * SUPERSAMPLES for side in size)
    step = SUPERSAMPLES * scale
    middle = slice(step // 2, None, step)
    truth = _average(colour.view(height, width, 3), SUPERSAMPLES, SUPERSAMPLES)
    few = [_average(values.view(height, width, 3), step, kept) for values in (colour, hits.normal, albedo)]
    distance = hits.distance.view(height, width)[middle, middle]
    flow = motion.view(height, width, 2)[middle, middle].movedim(-1, 0) / scale
    return truth, few[0], flow, distance, few[1], few[2]


def _average(samples: Tensor, step: int, groups: int) -> Tensor:
    """Means over cells of step x step samples, of which pairs in the middles of ``groups`` parts of a side count."""
    height, width, channels = samples.shape
    cells = samples.view(height // step, step, width // step, step, channels)
    part = step // groups
    chosen = [group * part + part // 2 + k for group in range(groups) for k in (-1, 0)]
    return cells[:, chosen][:, :, :, chosen].mean((1, 3))
