"""Training batches: crops of real clips, and of photographs set in motion."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.utils.data import Dataset

from ..codec import SpaceToDepth
from ..encode import encode_global
from ..errors import MediaError
from ..layout import Canvas, location_mask
from ..propagation.align import aligned_window, neighbour_flows
from ..resample import reflected, resize, upsampled_window
from .config import DataConfig
from .degrade import Degradation, blurred, degraded, draw_degradation

VIDEO = {".mp4", ".mkv", ".mov", ".webm"}
PHOTOGRAPH = {".jpg", ".jpeg", ".png", ".webp"}
MOST_VIEW_PX = 720
"""Longest side of the view that a crop is cut from."""


@dataclass(frozen=True, eq=False)
class Batch:
    """N crops with what the model is told about them; latents are (N, C, t, h, w)."""

    scale: int
    truth: Tensor
    """(N, T, H, W, 3) in [0, 1]."""
    enlarged: Tensor
    """(N, T, H, W, 3) the bicubically enlarged input."""
    neighbours: Tensor
    """(N, T, H, W, 6) the enlarged frames before and after, aligned."""
    view: Tensor
    """Latent of the whole enlarged video at crop size."""
    location: Tensor
    """(N, 1, h, w)."""
    position: Tensor
    """(N, 2) of top and left as fractions of the video."""

    def latent_truth(self) -> Tensor:
        """(N, 192, t, h, w) latents of the truth."""
        return _latent(self.truth)

    def latent_enlarged(self) -> Tensor:
        """(N, 192, t, h, w) latents of the enlarged input."""
        return _latent(self.enlarged)

    def to(self, device: torch.device) -> Batch:
        fields = vars(self).items()
        tensors: dict[str, Any] = {name: value.to(device) for name, value in fields if isinstance(value, Tensor)}
        return replace(self, **tensors)


def _latent(frames: Tensor) -> Tensor:
    """(N, T, H, W, 3) frames to latents, as SpaceToDepth does for one clip."""
    return rearrange(frames * 2 - 1, "n t (h p) (w q) c -> n (c p q) t h w", p=8, q=8)


class Batches(Dataset[Batch]):
    """Batch number k is a pure function of the seed and k, so a run can resume anywhere.

    Args:
        folder: searched for videos and photographs, at any depth.
        cache: videos are decoded into this folder once.
    """

    def __init__(self, folder: Path, cache: Path, config: DataConfig, seed: int, length: int) -> None:
        files = sorted(folder.rglob("*"))
        self.videos = [_decoded(path, cache) for path in files if path.suffix.lower() in VIDEO]
        self.photographs = [path for path in files if path.suffix.lower() in PHOTOGRAPH]
        if not self.videos and not self.photographs:
            raise MediaError(f"No video or photograph was found under {folder}; give a folder that has some.")
        self.config, self.seed, self.length = config, seed, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng((self.seed, index))
        frames = int(rng.choice(self.config.frames))
        scale = int(rng.choice(self.config.scales))
        crop = int(rng.choice(self.config.crop_px))
        count = max(1, self.config.tokens // (frames * (crop // 16) ** 2))
        crops = [self._crop(rng, frames, scale, crop) for _ in range(count)]
        return Batch(scale, *(torch.stack(part) for part in zip(*crops, strict=True)))

    def _crop(self, rng: np.random.Generator, frames: int, scale: int, crop: int) -> tuple[Tensor, ...]:
        use_photograph = bool(self.photographs) and (not self.videos or rng.random() < self.config.photographs)
        picture = self._moving_photograph(rng, frames) if use_photograph else self._excerpt(rng, frames)
        height, width = (side // (8 * scale) * 8 * scale for side in picture.shape[1:3])
        picture = picture[:, :height, :width].clamp(0, 1)
        small = self._reduced(rng, picture, (height // scale, width // scale))
        canvas = Canvas(frames, (height // scale, width // scale), (height, width))
        top, left = (int(rng.integers(0, (side - crop) // 8 + 1)) * 8 for side in (height, width))
        rows, columns = slice(top, top + crop), slice(left, left + crop)
        enlarged = upsampled_window(small, canvas, rows, columns).clamp(0, 1)
        neighbours = aligned_window(small, neighbour_flows(small), canvas, rows, columns)
        cells = crop // 8
        view = encode_global(SpaceToDepth(), small, canvas, (cells, cells))[0]
        location = location_mask((top, left), (crop, crop), (height, width), (cells, cells))[None]
        position = torch.tensor([top / height, left / width])
        return picture[:, rows, columns], enlarged, neighbours, view, location, position

    def _reduced(self, rng: np.random.Generator, picture: Tensor, size: tuple[int, int]) -> Tensor:
        """The input that a picture is to be restored from, in whole steps of 1/255."""
        damage = Degradation()
        if self.config.degraded and rng.random() < self.config.degraded:
            damage = draw_degradation(rng)
        soft = blurred(picture, damage, picture.shape[1] / size[0])
        return degraded((resize(soft, size).clamp(0, 1) * 255).round() / 255, damage)

    def _excerpt(self, rng: np.random.Generator, frames: int) -> Tensor:
        """Consecutive frames of a video, at a random size, mirrored at random."""
        video = np.load(self.videos[rng.integers(len(self.videos))], mmap_mode="r")
        stride = int(rng.integers(1, 3)) if len(video) >= 2 * frames else 1
        first = int(rng.integers(0, max(1, len(video) - stride * (frames - 1))))
        index = np.minimum(first + stride * np.arange(frames), len(video) - 1)
        excerpt = torch.from_numpy(np.ascontiguousarray(video[index])).float() / 255
        excerpt = resize(excerpt, self._view_size(rng, excerpt.shape[1], excerpt.shape[2]))
        return _mirrored(rng, excerpt)

    def _moving_photograph(self, rng: np.random.Generator, frames: int) -> Tensor:
        """A camera that pans, zooms and turns a little over a still; at times something passes in front of it."""
        still = self._still(rng)
        if frames == 1 or rng.random() < 0.15:
            return _mirrored(rng, still.expand(frames, -1, -1, -1))
        moving = _camera_move(rng, still, frames)
        if rng.random() < self.config.occluders:
            moving = _with_occluder(rng, moving, _camera_move(rng, self._still(rng), frames))
        return _mirrored(rng, moving)

    def _still(self, rng: np.random.Generator) -> Tensor:
        path = self.photographs[rng.integers(len(self.photographs))]
        image = cv2.imread(str(path))
        if image is None:
            raise MediaError(f"{path} cannot be read as an image; remove it from the training folder.")
        still = torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1])).float()[None] / 255
        return resize(still, self._view_size(rng, still.shape[1], still.shape[2]))

    def _view_size(self, rng: np.random.Generator, height: int, width: int) -> tuple[int, int]:
        """Between the crop's size (with room for every scale factor) and the picture's own."""
        least = (max(self.config.crop_px) + 96) / min(height, width)
        most = min(1.0, MOST_VIEW_PX / max(height, width))
        factor = rng.uniform(min(least, most), most) if least < most else max(least, most)
        return round(height * factor), round(width * factor)


def _camera_move(rng: np.random.Generator, still: Tensor, frames: int) -> Tensor:
    height, width = still.shape[1:3]
    time = np.arange(frames) - (frames - 1) / 2
    pan = rng.normal(0, 3.0, 2)[:, None] * time + rng.normal(0, 0.3, (2, frames))
    angle = np.deg2rad(rng.normal(0, 0.25)) * time
    zoom = 0.95 * np.exp(rng.normal(0, 0.004) * time)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    aspect = height / width
    theta = np.stack([cos, -sin * aspect, 2 * pan[0] / width, sin / aspect, cos, 2 * pan[1] / height], axis=1).reshape(
        frames, 2, 3
    )
    grid = F.affine_grid(torch.from_numpy(theta).float(), [frames, 3, height, width], align_corners=False)
    planes = still.movedim(-1, 1).expand(frames, -1, -1, -1)
    moved = F.grid_sample(planes, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return moved.movedim(1, -1)


def _with_occluder(rng: np.random.Generator, behind: Tensor, front: Tensor) -> Tensor:
    """An elliptic piece of another clip that moves across at its own speed."""
    frames, height, width = behind.shape[:3]
    time = np.arange(frames) - (frames - 1) / 2
    middle = [rng.uniform(0.2, 0.8) * side + rng.normal(0, 5.0) * time for side in (height, width)]
    radii = [rng.uniform(0.08, 0.3) * min(height, width) for _ in range(2)]
    y, x = torch.arange(height)[:, None], torch.arange(width)[None, :]
    out = behind.clone()
    for k in range(frames):
        distance = (((y - middle[0][k]) / radii[0]) ** 2 + ((x - middle[1][k]) / radii[1]) ** 2).sqrt()
        cover = ((1 - distance) * min(radii)).clamp(0, 1)[:, :, None]
        rows = torch.from_numpy(reflected(np.arange(height), front.shape[1]))
        columns = torch.from_numpy(reflected(np.arange(width), front.shape[2]))
        out[k] += cover * (front[k][rows][:, columns] - behind[k])
    return out


def _mirrored(rng: np.random.Generator, frames: Tensor) -> Tensor:
    axes = [axis for axis in (0, 1, 2) if rng.random() < 0.5]
    frames = frames.flip(axes) if axes else frames
    return frames.transpose(1, 2) if rng.random() < 0.5 else frames


def _decoded(path: Path, cache: Path) -> Path:
    """The video as an array of bytes on disk, decoded once."""
    cache.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(f"{path.name}{path.stat().st_size}".encode()).hexdigest()[:16]
    target = cache / f"{path.stem}-{key}.npy"
    if not target.is_file():
        try:
            with av.open(str(path)) as container:
                frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        except (av.error.FFmpegError, OSError, IndexError) as error:
            raise MediaError(f"{path} cannot be decoded ({error}); remove it from the training folder.") from error
        if not frames:
            raise MediaError(f"{path} has no frames; remove it from the training folder.")
        partial = target.with_suffix(".part.npy")
        np.save(partial, np.stack(frames))
        partial.rename(target)
    return target
