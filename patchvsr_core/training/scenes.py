"""Scenes to render: boxes and spheres with photographs on them, and a camera that moves.

Lengths are in units of the world, y is up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MIP_LEVELS = 5


@dataclass(frozen=True, eq=False)
class Pose:
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
class Primitive:
    """A box or sphere of half size 1 along its own axes, before it is stretched."""

    is_sphere: bool
    half: Tensor
    """(3,) half sizes."""
    texture: list[Tensor]
    """(1, 3, H, W), and each half as large as the one before."""
    texels: float
    """Of the texture per unit of length."""
    shine: float
    poses: list[Pose]
    """One per frame."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What there is in every frame, and how it is lit and seen."""

    primitives: list[Primitive]
    """The room or floor first."""
    cameras: list[Pose]
    """One per frame, looking along their third axis."""
    lens: float
    """Focal length over the height of the picture."""
    sun: Tensor
    """(3,) towards it."""
    ambient: float
    """Share of the light that comes from everywhere."""
    sky: Tensor
    """(3,) its colour."""


def draw_scene(rng: np.random.Generator, photographs: Sequence[Tensor], frames: int, grain: float = 0.0) -> Scene:
    """One at random.

    Args:
        photographs: (H, W, 3) pictures in [0, 1] to choose textures from.
        grain: share of surfaces with fine grain on their photograph.
    """
    lens = float(rng.uniform(0.9, 1.5))
    cameras = _draw_camera_path(rng, frames)
    primitives = _draw_primitives(rng, photographs, frames)
    if grain:
        primitives = [_add_grain(rng, one) if rng.random() < grain else one for one in primitives]
    sun = F.normalize(torch.tensor([rng.normal(), 1.2 + rng.random(), rng.normal()], dtype=torch.float32), dim=0)
    ambient = float(rng.uniform(0.25, 0.5))
    sky = torch.tensor(rng.uniform(0.4, 0.95, 3), dtype=torch.float32)
    return Scene(primitives, cameras, lens, sun, ambient, sky)


def _draw_camera_path(rng: np.random.Generator, frames: int) -> list[Pose]:
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
        poses.append(Pose(_to_vector(place), torch.tensor(axes, dtype=torch.float32)))
    return poses


def _draw_primitives(rng: np.random.Generator, photographs: Sequence[Tensor], frames: int) -> list[Primitive]:
    """A room, or a floor under the sky, and what stands and moves in it."""
    still = [Pose(torch.zeros(3), torch.eye(3))] * frames
    if rng.random() < 0.7:
        room = _to_vector(rng.uniform((3.5, 3, 6), (6, 5, 8)))
        high = _to_vector((0, float(room[1]), 0))
        primitives = [_make_primitive(rng, photographs, False, room, [Pose(high, torch.eye(3))] * frames)]
    else:
        floor = [Pose(_to_vector((0, -1, 0)), pose.axes) for pose in still]
        primitives = [_make_primitive(rng, photographs, False, _to_vector((30, 1, 30)), floor)]
    for _ in range(int(rng.integers(3, 7))):
        half = rng.uniform(0.25, 0.9, 3)
        is_sphere = bool(rng.random() < 0.4)
        half = np.full(3, half[0]) if is_sphere else half
        place = np.array([rng.uniform(-2.5, 2.5), half[1] + rng.uniform(0, 0.8), rng.uniform(-1, 3)])
        moves = rng.random() < 0.4
        walk = rng.normal(0, 0.05, 3) * (1, 0.3, 1) if moves else np.zeros(3)
        angle, spin = rng.uniform(0, math.tau), rng.normal(0, 0.05) if moves else 0.0
        poses = [Pose(_to_vector(place + walk * k), _rotate(angle + spin * k)) for k in range(frames)]
        primitives.append(_make_primitive(rng, photographs, is_sphere, _to_vector(half), poses))
    return primitives


def _make_primitive(
    rng: np.random.Generator, photographs: Sequence[Tensor], is_sphere: bool, half: Tensor, poses: list[Pose]
) -> Primitive:
    picture = photographs[int(rng.integers(len(photographs)))].movedim(-1, 0)[None]
    tint = torch.tensor(rng.uniform(0.6, 1.0, 3), dtype=torch.float32).view(1, 3, 1, 1)
    shine = float(rng.choice((0.0, rng.uniform(0.1, 0.6))))
    return Primitive(is_sphere, half, _make_mip_levels(picture * tint), float(rng.uniform(60, 220)), shine, poses)


def _make_mip_levels(picture: Tensor) -> list[Tensor]:
    levels = [picture]
    for _ in range(MIP_LEVELS - 1):
        levels.append(F.avg_pool2d(levels[-1], 2))
    return levels


def _add_grain(rng: np.random.Generator, one: Primitive) -> Primitive:
    """Grain all over, or dark specks, a pixel or so wide: like the noise of light, but that it stays on the surface."""
    picture = one.texture[0]
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    cell = 2 ** rng.uniform(1, 5)
    height, width = (max(2, int(side / cell)) for side in picture.shape[2:])
    drawn = torch.randn((1, 1, height, width), generator=generator)
    pattern = drawn if rng.random() < 0.5 else -4 * (drawn > 1).float()
    pattern = F.interpolate(pattern, picture.shape[2:], mode="bilinear", align_corners=False)
    if rng.random() < 0.5:  # plain ground, of which grain is all that there is to see
        picture = picture.mean((2, 3), keepdim=True)
    grained = (picture * (1 + rng.uniform(0.03, 0.2) * pattern)).clamp(0, 1)
    return replace(one, texture=_make_mip_levels(grained))


def _to_vector(values: Sequence[float] | np.ndarray) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)


def _rotate(angle: float) -> Tensor:
    """Axes turned about the upright one."""
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
