"""What happens to footage between the lens and the disk: blur, noise, JPEG, H.264.

A clip's degradation is drawn once, as numbers, and then applied to all of its frames; the same
numbers and the same frames give the same result. Blur is applied before the clip is reduced (an optical
blur of the large picture), the rest after.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import av
import cv2
import numpy as np
import torch
from torch import Tensor

from ..resample import resize

STRONGEST_BLUR = 1.2
"""Deviation of the Gaussian, pixels of the reduced picture."""
STRONGEST_NOISE = 12 / 255
GRAY_NOISE = 0.4
"""Share of noise that is the same in all channels."""
JPEG_QUALITY = (40, 95)
H264_CRF = (18, 32)
LIKELY = (0.12, 0.5, 0.5, 0.5)
"""Shares of blur, noise, JPEG, H.264. Blur is rare: a model that expects it sharpens what was soft."""


@dataclass(frozen=True)
class Degradation:
    """How one clip is degraded; by default not at all."""

    blur: tuple[float, float] = (0.0, 0.0)
    """Deviations of a Gaussian along its two axes, pixels of the reduced picture."""
    blur_angle: float = 0.0
    """Of the first axis, radians."""
    noise: float = 0.0
    """Deviation of Gaussian noise, values in [0, 1]."""
    gray_noise: bool = False
    """The same noise in all channels, as film grain has it."""
    jpeg: int = 0
    """Quality 1 to 100; 0: no JPEG."""
    h264: int = 0
    """Constant rate factor 1 to 51; 0: no H.264."""
    seed: int = 0

    def blur_only(self) -> Degradation:
        """The blur alone."""
        return Degradation(blur=self.blur, blur_angle=self.blur_angle)

    @property
    def is_clean(self) -> bool:
        return not (any(self.blur) or self.noise or self.jpeg or self.h264)

    @property
    def is_compression(self) -> bool:
        """Compressed, and nothing else."""
        return bool(self.jpeg or self.h264) and not (any(self.blur) or self.noise)


def draw_degradation(rng: np.random.Generator, compressed: float = 0.0, noisy: float = 0.0) -> Degradation:
    """Several kinds at once or none; weak ones are as likely as strong ones.

    Args:
        compressed: share that H.264 alone degrades.
        noisy: share of the others that noise alone degrades.
    """
    if compressed and rng.random() < compressed:
        return Degradation(h264=int(rng.integers(*H264_CRF)))
    if noisy and rng.random() < noisy:
        sigma, is_gray = float(rng.uniform(0, STRONGEST_NOISE)), bool(rng.random() < GRAY_NOISE)
        return Degradation(noise=sigma, gray_noise=is_gray, seed=int(rng.integers(2**31)))
    is_blurred, is_noisy, is_jpeg, is_h264 = rng.random(4) < LIKELY
    first, second = rng.uniform(0.1, STRONGEST_BLUR, 2)
    return Degradation(
        blur=(float(first), float(second)) if is_blurred else (0.0, 0.0),
        blur_angle=float(rng.uniform(0, np.pi)),
        noise=float(rng.uniform(0, STRONGEST_NOISE)) if is_noisy else 0.0,
        gray_noise=bool(rng.random() < GRAY_NOISE),
        jpeg=int(rng.integers(*JPEG_QUALITY)) if is_jpeg and not is_h264 else 0,
        h264=int(rng.integers(*H264_CRF)) if is_h264 else 0,
        seed=int(rng.integers(2**31)),
    )


def make_input(large: Tensor, size: tuple[int, int], degradation: Degradation = Degradation()) -> Tensor:
    """The clip that a large one is to be restored from: blurred, reduced by bicubic, then with noise and compression.

    Args:
        large: (T, H, W, 3) in [0, 1]; not changed.
        size: (height, width) of the result.

    Returns:
        (T, *size, 3) in whole steps of 1/255.
    """
    soft = blur(large, degradation, large.shape[1] / size[0])
    return add_noise_and_compression((resize(soft, size).clamp(0, 1) * 255).round() / 255, degradation)


def blur(frames: Tensor, degradation: Degradation, scale: float) -> Tensor:
    """Blur the large picture, as a lens out of focus does.

    Args:
        frames: (T, H, W, 3) in [0, 1]; not changed.
        scale: factor by which it will be reduced afterwards.
    """
    if not any(degradation.blur):
        return frames
    kernel = _gaussian([deviation * scale for deviation in degradation.blur], degradation.blur_angle)
    return map_frames(frames, lambda frame: cv2.filter2D(frame, -1, kernel, borderType=cv2.BORDER_REFLECT_101))


def add_noise_and_compression(frames: Tensor, degradation: Degradation) -> Tensor:
    """Add noise to the reduced clip and compress it.

    Args:
        frames: (T, h, w, 3) in [0, 1]; not changed.

    Returns:
        the same shape; where something was done, in whole steps of 1/255.
    """
    if degradation.noise:
        generator = torch.Generator().manual_seed(degradation.seed)
        channels = 1 if degradation.gray_noise else 3
        noise = torch.randn((*frames.shape[:3], channels), generator=generator)
        frames = (frames + degradation.noise * noise).clamp(0, 1)
    if degradation.jpeg:
        frames = map_frames(frames, lambda frame: compress_jpeg(frame, degradation.jpeg))
    if degradation.h264:
        frames = compress_h264(frames, degradation.h264)
    return frames if degradation.is_clean else (frames * 255).round() / 255


def _gaussian(deviations: list[float], angle: float) -> np.ndarray:
    """An elliptic Gaussian kernel, cut at three deviations, that sums to 1."""
    reach = max(1, int(np.ceil(3 * max(deviations))))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    along = (x * np.cos(angle) + y * np.sin(angle)) / max(deviations[0], 1e-3)
    across = (y * np.cos(angle) - x * np.sin(angle)) / max(deviations[1], 1e-3)
    kernel = np.exp(-(along**2 + across**2) / 2)
    return kernel / kernel.sum()


def map_frames(frames: Tensor, change: Callable[[Any], Any]) -> Tensor:
    """Apply a function of (H, W, 3) arrays to every frame."""
    return torch.stack([torch.from_numpy(np.ascontiguousarray(change(frame.numpy()))) for frame in frames])


def compress_jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    """Through JPEG and back."""
    pixels = np.rint(frame[:, :, ::-1] * 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded[:, :, ::-1].astype(np.float32) / 255


def compress_h264(frames: Tensor, crf: int) -> Tensor:
    """Through x264 and back; odd sides are padded for the encoder."""
    height, width = frames.shape[1:3]
    pixels = (frames * 255).round().to(torch.uint8).numpy()
    pixels = np.pad(pixels, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as target:
        stream = target.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "veryfast", "threads": "1"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = pixels.shape[2], pixels.shape[1], "yuv420p"
        for picture in pixels:
            # The encoder's own conversion gives now and then another picture.
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as source:
        decoded = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    return torch.from_numpy(np.stack(decoded)[:, :height, :width].astype(np.float32) / 255)
