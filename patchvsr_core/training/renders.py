"""Small rendered clips with exact G-buffers: a camera moves through boxes and balls with photographs on them.

A ray is cast for every sample. Its nearest hit gives colour, material, normal, distance and, from
where that very point was a frame before, motion. Lengths are in units of the world, y is up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SUPERSAMPLES = 2
"""Samples along each side of a pixel of the true frame."""
MIP_LEVELS = 5
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
class _Pose:
    """Where something is in a frame."""

    centre: Tensor
    """(3,)."""
    axes: Tensor
    """(3, 3), its own axes as columns."""

    def local(self, points: Tensor) -> Tensor:
        """(N, 3) places of the world, as seen from it."""
        return (points - self.centre) @ self.axes

    def world(self, points: Tensor) -> Tensor:
        """The way back."""
        return points @ self.axes.T + self.centre


@dataclass(frozen=True, eq=False)
class _Thing:
    """A box or ball of half size 1 along its own axes, before it is stretched."""

    is_ball: bool
    half: Tensor
    """(3,) half sizes."""
    texture: list[Tensor]
    """(1, 3, H, W), and each half as large as the one before."""
    texels: float
    """Of the texture per unit of length."""
    shine: float
    poses: list[_Pose]
    """One per frame."""


@dataclass(frozen=True, eq=False)
class _Hits:
    """What rays meet first; (N, ...) tensors."""

    distance: Tensor
    thing: Tensor
    """Number of the thing; -1: the sky."""
    local: Tensor
    """The place in the thing's own axes."""
    normal: Tensor


def render_clip(
    rng: np.random.Generator, photographs: Sequence[Tensor], frames: int, size: tuple[int, int], scale: int = 4
) -> RenderedClip:
    """A clip of a scene drawn at random.

    Args:
        photographs: (H, W, 3) pictures in [0, 1] to choose textures from.
        size: (height, width) of the truth; multiples of ``scale``.
    """
    lens = float(rng.uniform(0.9, 1.5))
    cameras = _camera_path(rng, frames)
    things = _things(rng, photographs, frames)
    sun = F.normalize(torch.tensor([rng.normal(), 1.2 + rng.random(), rng.normal()], dtype=torch.float32), dim=0)
    ambient = float(rng.uniform(0.25, 0.5))
    sky = torch.tensor(rng.uniform(0.4, 0.95, 3), dtype=torch.float32)
    kept = int(rng.choice((1, 2, 4), p=(0.25, 0.25, 0.5)))  # groups of samples along each side of an input's pixel
    shown = []
    for index in range(frames):
        rays = _rays(cameras[index], lens, (size[0] * SUPERSAMPLES, size[1] * SUPERSAMPLES))
        hits = _cast(things, index, cameras[index].centre, rays)
        albedo = _albedo(things, hits, lens * size[0] * SUPERSAMPLES, sky)
        light, gleam = _light(things, index, cameras[index].centre, rays, hits, sun)
        lit = torch.where(hits.thing >= 0, ambient + (1 - ambient) * light, 1)
        colour = (albedo * lit[:, None] + gleam[:, None]).clamp(0, 1)
        motion = _motion(things, index, cameras, lens, hits, rays, size)
        shown.append(_small_and_large(colour, albedo, hits, motion, size, scale, kept))
    truth, small, motion, depth, normal, albedo = (torch.stack(part) for part in zip(*shown, strict=True))
    return RenderedClip(truth, small, motion, depth, normal, albedo, (2 * kept) ** 2)


def _camera_path(rng: np.random.Generator, frames: int) -> list[_Pose]:
    """A walk and a turn at steady speeds, and a hand that shakes."""
    start = np.array([rng.uniform(-2, 2), rng.uniform(1.2, 2.6), rng.uniform(-5, -3)])
    walk = rng.normal(0, (0.05, 0.02, 0.05))
    aim = np.array([rng.uniform(-1, 1), rng.uniform(0.6, 1.6), rng.uniform(0, 2)])
    turn, shake = rng.normal(0, 0.04, 3), rng.normal(0, 0.004, (frames, 3))
    poses = []
    for index in range(frames):
        place = start + walk * index
        forward = aim + turn * index + shake[index] - place
        forward = forward / np.linalg.norm(forward)
        right = np.cross([0.0, 1.0, 0.0], forward)
        right = right / np.linalg.norm(right)
        axes = np.stack([right, np.cross(forward, right), forward], axis=1)
        poses.append(_Pose(_vector(place), torch.tensor(axes, dtype=torch.float32)))
    return poses


def _things(rng: np.random.Generator, photographs: Sequence[Tensor], frames: int) -> list[_Thing]:
    """A room, or a floor under the sky, and what stands and moves in it."""
    still = [_Pose(torch.zeros(3), torch.eye(3))] * frames
    if rng.random() < 0.7:
        room = _vector(rng.uniform((3.5, 3, 6), (6, 5, 8)))
        high = _vector((0, float(room[1]), 0))
        things = [_thing(rng, photographs, False, room, [_Pose(high, torch.eye(3))] * frames)]
    else:
        floor = [_Pose(_vector((0, -1, 0)), pose.axes) for pose in still]
        things = [_thing(rng, photographs, False, _vector((30, 1, 30)), floor)]
    for _ in range(int(rng.integers(3, 7))):
        half = rng.uniform(0.25, 0.9, 3)
        is_ball = bool(rng.random() < 0.4)
        half = np.full(3, half[0]) if is_ball else half
        place = np.array([rng.uniform(-2.5, 2.5), half[1] + rng.uniform(0, 0.8), rng.uniform(-1, 3)])
        moves = rng.random() < 0.4
        walk = rng.normal(0, 0.05, 3) * (1, 0.3, 1) if moves else np.zeros(3)
        angle, spin = rng.uniform(0, math.tau), rng.normal(0, 0.05) if moves else 0.0
        poses = [_Pose(_vector(place + walk * k), _turned(angle + spin * k)) for k in range(frames)]
        things.append(_thing(rng, photographs, is_ball, _vector(half), poses))
    return things


def _thing(
    rng: np.random.Generator, photographs: Sequence[Tensor], is_ball: bool, half: Tensor, poses: list[_Pose]
) -> _Thing:
    picture = photographs[int(rng.integers(len(photographs)))].movedim(-1, 0)[None]
    tint = torch.tensor(rng.uniform(0.6, 1.0, 3), dtype=torch.float32).view(1, 3, 1, 1)
    texture = [picture * tint]
    for _ in range(MIP_LEVELS - 1):
        texture.append(F.avg_pool2d(texture[-1], 2))
    shine = float(rng.choice((0.0, rng.uniform(0.1, 0.6))))
    return _Thing(is_ball, half, texture, float(rng.uniform(60, 220)), shine, poses)


def _rays(camera: _Pose, lens: float, size: tuple[int, int]) -> Tensor:
    """(N, 3) directions through the middles of samples; of depth 1 along the view."""
    height, width = size
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    across, down = (x - width / 2) / (lens * height), (y - height / 2) / (lens * height)
    return torch.stack([across, -down, torch.ones_like(x)], -1).view(-1, 3) @ camera.axes.T


def _cast(things: list[_Thing], index: int, start: Tensor, rays: Tensor) -> _Hits:
    """The nearest hits of rays from ``start``, (3,) or (N, 3)."""
    distance = torch.full((len(rays),), NOTHING)
    thing = torch.full((len(rays),), -1)
    local, normal = torch.zeros_like(rays), torch.zeros_like(rays)
    for number, one in enumerate(things):
        pose = one.poses[index]
        origin, direction = pose.local(start.expand_as(rays)), rays @ pose.axes
        reached, facing = _ball(one, origin, direction) if one.is_ball else _box(one, origin, direction)
        nearer = reached < distance
        distance = torch.where(nearer, reached, distance)
        thing = torch.where(nearer, number, thing)
        local = torch.where(nearer[:, None], origin + reached[:, None] * direction, local)
        normal = torch.where(nearer[:, None], facing @ pose.axes.T, normal)
    return _Hits(distance, thing, local, normal)


def _ball(one: _Thing, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    radius = one.half[0]
    square, middle = direction.square().sum(1), (origin * direction).sum(1)
    under = middle.square() - square * (origin.square().sum(1) - radius.square())
    reached = (-middle - under.clamp(min=0).sqrt()) / square
    reached = torch.where((under > 0) & (reached > 1e-3), reached, torch.inf)
    return reached, F.normalize(origin + reached.clamp(max=NOTHING)[:, None] * direction, dim=1)


def _box(one: _Thing, origin: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
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


def _albedo(things: list[_Thing], hits: _Hits, samples_per_slope: float, sky: Tensor) -> Tensor:
    """(N, 3) colours of the materials; the sky's is its own."""
    out = sky.expand(len(hits.thing), 3).clone()
    for number, one in enumerate(things):
        chosen = (hits.thing == number).nonzero()[:, 0]
        if not len(chosen):
            continue
        place = hits.local[chosen] / one.half
        if one.is_ball:
            across, down = torch.atan2(place[:, 0], place[:, 2]), torch.asin(place[:, 1].clamp(-1, 1))
            at = torch.stack([across, down], 1) * one.half[0]
        else:
            side = place.abs().argmax(1)
            first, second = (side + 1) % 3, (side + 2) % 3
            at = torch.stack([hits.local[chosen].gather(1, axis[:, None])[:, 0] for axis in (first, second)], 1)
        footprint = hits.distance[chosen] * one.texels / samples_per_slope
        level = footprint.clamp(min=1).log2().clamp(max=MIP_LEVELS - 1.001)
        out[chosen] = _sampled(one.texture, at * one.texels, level)
    return out


def _sampled(texture: list[Tensor], at: Tensor, level: Tensor) -> Tensor:
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


def _light(
    things: list[_Thing], index: int, eye: Tensor, rays: Tensor, hits: _Hits, sun: Tensor
) -> tuple[Tensor, Tensor]:
    """(N,) each: light of a sun that casts hard shadows (Lambert), and its reflection (Blinn-Phong)."""
    met = hits.thing >= 0
    places = eye + hits.distance.where(met, 0.0)[:, None] * rays
    # A room has no roof for the sun.
    shade = _cast(things[1:], index, places + 2e-3 * hits.normal, sun.expand_as(places)).thing >= 0
    light = (hits.normal @ sun).clamp(min=0) * ~shade
    half = F.normalize(sun - F.normalize(rays, dim=1), dim=1)
    shine = torch.tensor([one.shine for one in things] + [0.0])[hits.thing]
    return light, shine * (hits.normal * half).sum(1).clamp(min=0) ** 40 * (light > 0)


def _motion(
    things: list[_Thing],
    index: int,
    cameras: list[_Pose],
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
    for number, one in enumerate(things):
        chosen = (hits.thing == number)[:, None]
        before = torch.where(chosen, one.poses[index - 1].world(hits.local), before)
        place = torch.where(chosen, one.poses[index].world(hits.local), place)
    return (_projected(then, lens, before) - _projected(now, lens, place)) * size[0]


def _projected(camera: _Pose, lens: float, places: Tensor) -> Tensor:
    """(N, 2) across and down, in heights of the picture."""
    x, y, z = camera.local(places).unbind(1)
    return torch.stack([x, -y], 1) * lens / z.clamp(min=1e-2)[:, None]


def _small_and_large(
    colour: Tensor, albedo: Tensor, hits: _Hits, motion: Tensor, size: tuple[int, int], scale: int, kept: int
) -> tuple[Tensor, ...]:
    """In the order of :class:`RenderedClip`; passes of distance and motion are not filtered, as a renderer's."""
    height, width = (side * SUPERSAMPLES for side in size)
    step = SUPERSAMPLES * scale
    middle = slice(step // 2, None, step)
    truth = _averaged(colour.view(height, width, 3), SUPERSAMPLES, SUPERSAMPLES)
    few = [_averaged(values.view(height, width, 3), step, kept) for values in (colour, hits.normal, albedo)]
    distance = hits.distance.view(height, width)[middle, middle]
    flow = motion.view(height, width, 2)[middle, middle].movedim(-1, 0) / scale
    return truth, few[0], flow, distance, few[1], few[2]


def _averaged(samples: Tensor, step: int, groups: int) -> Tensor:
    """Means over cells of step x step samples, of which pairs in the middles of ``groups`` parts of a side count."""
    height, width, channels = samples.shape
    cells = samples.view(height // step, step, width // step, step, channels)
    part = step // groups
    chosen = [group * part + part // 2 + k for group in range(groups) for k in (-1, 0)]
    return cells[:, chosen][:, :, :, chosen].mean((1, 3))


def _vector(values: Sequence[float] | np.ndarray) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)


def _turned(angle: float) -> Tensor:
    """Axes turned about the upright one."""
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
