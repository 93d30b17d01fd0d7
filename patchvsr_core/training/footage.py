"""Pictures in motion to train on: excerpts of real clips, and photographs set in motion."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path

import av
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MediaError
from ..resample import reflect_index, resize
from ..video.local_files import open_input
from .config import DataConfig
from .shot_filter import find_usable_shots

VIDEO = {".mp4", ".mkv", ".mov", ".webm"}
PHOTOGRAPH = {".jpg", ".jpeg", ".png", ".webp"}


class Footage:
    """The videos and photographs of a folder.

    Args:
        folder: searched at any depth.
        cache: videos are decoded into this folder once.
    """

    def __init__(self, folder: Path, cache: Path, config: DataConfig) -> None:
        files = config.select_files(sorted(folder.rglob("*")))
        self.photographs = [path for path in files if path.suffix.lower() in PHOTOGRAPH]
        videos = [decode_video(path, cache) for path in files if path.suffix.lower() in VIDEO]
        self.shots = [(video, first, end) for video, shots in videos for first, end in shots]
        self.weights = _draw_probabilities(self.shots)
        if not self.shots and not self.photographs:
            raise MediaError(
                f"No usable video or photograph was found under {folder}; give a folder that has some "
                "(still or blurred shots do not count)."
            )
        self.config = config

    def draw(self, rng: np.random.Generator, frames: int) -> Tensor:
        """(T, H, W, 3) in [0, 1], large enough for a crop at every scale, mirrored at random."""
        use_photograph = bool(self.photographs) and (not self.shots or rng.random() < self.config.photographs)
        return _flip_at_random(
            rng, self._move_photograph(rng, frames) if use_photograph else self._draw_excerpt(rng, frames)
        )

    def _draw_excerpt(self, rng: np.random.Generator, frames: int) -> Tensor:
        """Successive frames of one shot, every one or every second; a shot too short stands still at its end."""
        path, begin, end = self.shots[rng.choice(len(self.shots), p=self.weights)]
        video = np.load(path, mmap_mode="r")
        stride = int(rng.integers(1, 3)) if end - begin >= 2 * frames else 1
        first = begin + int(rng.integers(0, max(1, end - begin - stride * (frames - 1))))
        index = np.minimum(first + stride * np.arange(frames), end - 1)
        excerpt = torch.from_numpy(np.ascontiguousarray(video[index])).float() / 255
        return resize(excerpt, self._draw_view_size(rng, excerpt.shape[1], excerpt.shape[2]))

    def _move_photograph(self, rng: np.random.Generator, frames: int) -> Tensor:
        """A camera that pans, zooms and turns a little over a still; at times something passes in front of it."""
        still = self._draw_photograph(rng)
        if frames == 1 or rng.random() < 0.15:
            return still.expand(frames, -1, -1, -1)
        moving = _move_camera(rng, still, frames)
        if rng.random() < self.config.occluders:
            moving = _add_occluder(rng, moving, _move_camera(rng, self._draw_photograph(rng), frames))
        return moving

    def _draw_photograph(self, rng: np.random.Generator) -> Tensor:
        still = read_photograph(self.photographs[rng.integers(len(self.photographs))])[None]
        return resize(still, self._draw_view_size(rng, still.shape[1], still.shape[2]))

    def _draw_view_size(self, rng: np.random.Generator, height: int, width: int) -> tuple[int, int]:
        """Between the crop's size (with room for every scale factor) and the picture's own."""
        least = (max(self.config.crop_px) + 96) / min(height, width)
        most = min(1.0, self.config.most_view_px / max(height, width))
        factor = rng.uniform(min(least, most), most) if least < most else max(least, most)
        return round(height * factor), round(width * factor)


def read_photograph(path: Path) -> Tensor:
    """(H, W, 3) in [0, 1].

    Raises:
        MediaError: when it is no picture.
    """
    image = cv2.imread(str(path))
    if image is None:
        raise MediaError(f"{path} cannot be read as an image; remove it from the training folder.")
    return torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1])).float() / 255


def _draw_probabilities(shots: list[tuple[Path, int, int]]) -> np.ndarray:
    """Every file is drawn equally often, its shots by their length."""
    lengths = np.array([end - first for _, first, end in shots], dtype=np.float64)
    files = [path for path, _, _ in shots]
    totals: dict[Path, float] = defaultdict(float)
    for path, length in zip(files, lengths, strict=True):
        totals[path] += length
    weights = np.array([length / totals[path] for length, path in zip(lengths, files, strict=True)])
    return weights / max(weights.sum(), 1)


def _move_camera(rng: np.random.Generator, still: Tensor, frames: int) -> Tensor:
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


def _add_occluder(rng: np.random.Generator, behind: Tensor, front: Tensor) -> Tensor:
    """An elliptic piece of another clip that moves across at its own speed."""
    frames, height, width = behind.shape[:3]
    time = np.arange(frames) - (frames - 1) / 2
    middle = [rng.uniform(0.2, 0.8) * side + rng.normal(0, 5.0) * time for side in (height, width)]
    radii = [rng.uniform(0.08, 0.3) * min(height, width) for _ in range(2)]
    y, x = torch.arange(height)[:, None], torch.arange(width)[None, :]
    rows, columns = (
        torch.from_numpy(reflect_index(np.arange(side), length))
        for side, length in ((height, front.shape[1]), (width, front.shape[2]))
    )
    out = behind.clone()
    for k in range(frames):
        distance = (((y - middle[0][k]) / radii[0]) ** 2 + ((x - middle[1][k]) / radii[1]) ** 2).sqrt()
        cover = ((1 - distance) * min(radii)).clamp(0, 1)[:, :, None]
        out[k] += cover * (front[k][rows][:, columns] - behind[k])
    return out


def _flip_at_random(rng: np.random.Generator, frames: Tensor) -> Tensor:
    axes = [axis for axis in (0, 1, 2) if rng.random() < 0.5]
    frames = frames.flip(axes) if axes else frames
    return frames.transpose(1, 2) if rng.random() < 0.5 else frames


def decode_video(path: Path, cache: Path) -> tuple[Path, list[tuple[int, int]]]:
    """The video as an array of bytes on disk, decoded once, and its usable shots."""
    cache.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(f"{path.name}{path.stat().st_size}".encode()).hexdigest()[:16]
    target = cache / f"{path.stem}-{key}.npy"
    if not target.is_file():
        try:
            with open_input(path) as container:
                frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        except (av.error.FFmpegError, OSError, IndexError) as error:
            raise MediaError(f"{path} cannot be decoded ({error}); remove it from the training folder.") from error
        if not frames:
            raise MediaError(f"{path} has no frames; remove it from the training folder.")
        partial = target.with_suffix(".part.npy")
        np.save(partial, np.stack(frames))
        partial.rename(target)
    shots = target.with_suffix(".shots.json")
    if not shots.is_file():
        shots.write_text(json.dumps(find_usable_shots(np.load(target, mmap_mode="r"))))
    return target, [(first, end) for first, end in json.loads(shots.read_text())]
