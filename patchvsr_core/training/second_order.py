"""Second-order degradations: twice blur, resizing, noise and JPEG, then ringing and video compression.

STAR and DC-VSR train with them. As in :mod:`.degrade`, a clip's are drawn once, as numbers.

Source: Real-ESRGAN (ICCVW 2021), with the ranges of its published configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from .degrade import H264_CRF, Degradation, compress_h264, compress_jpeg, make_input, map_frames

KINDS = ("gaussian", "generalized", "plateau")
KIND_SHARES = (0.7, 0.15, 0.15)
ROUND = {"gaussian": 0.45 / 0.7, "generalized": 0.8, "plateau": 0.8}
"""Shares of these that are as wide along both axes."""
SHAPES = {"gaussian": (1.0, 1.0), "generalized": (0.5, 4.0), "plateau": (1.0, 2.0)}
"""Ranges of their exponents; half of what is drawn lies below 1, half above."""
SINC_SHARE = 0.1
FINAL_SINC_SHARE = 0.8
GAUSSIAN_SHARE, GRAY_SHARE = 0.5, 0.4
JPEG_QUALITY = (30, 95)
H264_SHARE = 0.5
"""Real-ESRGAN is for images and has none."""
FILTERS = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
LEVELS = 255
BESSEL_STEPS = 128


@dataclass(frozen=True)
class Ranges:
    """What the numbers of one of the two passes are drawn from."""

    blurred: float
    deviation: tuple[float, float]
    """Of a blur, pixels of the large picture."""
    resized: tuple[float, float, float]
    """Shares of clips that are enlarged, reduced and left as they are."""
    factor: tuple[float, float]
    gaussian: tuple[float, float]
    """Deviation of the noise, of 255."""
    poisson: tuple[float, float]
    """Strength of shot noise."""


FIRST = Ranges(1.0, (0.2, 3.0), (0.2, 0.7, 0.1), (0.15, 1.5), (1.0, 30.0), (0.05, 3.0))
SECOND = Ranges(0.8, (0.2, 1.5), (0.3, 0.4, 0.3), (0.3, 1.2), (1.0, 25.0), (0.05, 2.5))


@dataclass(frozen=True)
class Kernel:
    """A blur, or the ringing of a low-pass filter."""

    kind: str
    """One of :data:`KINDS`, or ``sinc``."""
    size: int
    """Odd."""
    deviations: tuple[float, float] = (1.0, 1.0)
    angle: float = 0.0
    shape: float = 1.0
    """Exponent of the generalised and the plateau-shaped Gaussian; of a sinc its cutoff, radians a pixel."""

    def taps(self) -> np.ndarray:
        """(size, size), sums to 1.

        With q = x' S^-1 x: exp(-q / 2), exp(-q^b / 2), 1 / (1 + q^b); the sinc is w J1(w r) / (2 pi r).
        """
        reach = self.size // 2
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
        if self.kind == "sinc":
            r = np.hypot(x, y)
            r[reach, reach] = 1.0
            taps = self.shape * _bessel(self.shape * r) / (2 * np.pi * r)
            taps[reach, reach] = self.shape**2 / (4 * np.pi)
        else:
            along = (x * np.cos(self.angle) + y * np.sin(self.angle)) / self.deviations[0]
            across = (y * np.cos(self.angle) - x * np.sin(self.angle)) / self.deviations[1]
            q = (along**2 + across**2) ** (1.0 if self.kind == "gaussian" else self.shape)
            taps = 1 / (1 + q) if self.kind == "plateau" else np.exp(-q / 2)
        return taps / taps.sum()


@dataclass(frozen=True)
class Pass:
    """One of the two rounds; by default nothing happens."""

    kernel: Kernel | None = None
    factor: float = 1.0
    """In the first round, of the size of the large picture; in the second, of that of the result."""
    filter: str = "area"
    gaussian: float = 0.0
    """Deviation of Gaussian noise, of 255."""
    poisson: float = 0.0
    """Strength of shot noise, 1 as of 255 counted levels."""
    gray: bool = False
    jpeg: int = 0


@dataclass(frozen=True)
class SecondOrder:
    """How one clip is degraded."""

    first: Pass = field(default=Pass())
    second: Pass = field(default=Pass())
    sinc: Kernel | None = None
    """At the end, at the size of the result."""
    filter: str = "area"
    """Of the last resizing, before that ringing."""
    sinc_before_jpeg: bool = True
    """Whether these two come before the second JPEG, or after it."""
    h264: int = 0
    seed: int = 0

    def blur_only(self) -> SecondOrder:
        """Without noise and compression."""
        passes = [replace(one, gaussian=0.0, poisson=0.0, jpeg=0) for one in (self.first, self.second)]
        return replace(self, first=passes[0], second=passes[1], h264=0)


def draw_second_order(rng: np.random.Generator) -> SecondOrder:
    """Draw with Real-ESRGAN's probabilities."""
    first, second = _draw_pass(rng, FIRST), _draw_pass(rng, SECOND)
    has_sinc, before, is_video = rng.random(3) < (FINAL_SINC_SHARE, 0.5, H264_SHARE)
    return SecondOrder(
        first,
        second,
        _draw_sinc(rng, narrow=False) if has_sinc else None,
        str(rng.choice(list(FILTERS))),
        bool(before),
        int(rng.integers(*H264_CRF)) if is_video else 0,
        int(rng.integers(2**31)),
    )


def degrade(large: Tensor, size: tuple[int, int], degradation: Degradation | SecondOrder) -> Tensor:
    """The clip that a large one is to be restored from; see :func:`degrade.make_input`.

    Args:
        large: (T, H, W, 3) in [0, 1]; not changed.
        size: (height, width) of the result.

    Returns:
        (T, *size, 3) in whole steps of 1/255.
    """
    if isinstance(degradation, Degradation):
        return make_input(large, size, degradation)
    generator = torch.Generator().manual_seed(degradation.seed)
    height, width = large.shape[1:3]
    first, second = degradation.first, degradation.second
    frames = _jpeg(_apply(large, first, (height, width), generator), first.jpeg)
    frames = _apply(frames, second, size, generator)
    if degradation.sinc_before_jpeg:
        frames = _jpeg(_finish(frames, size, degradation), second.jpeg)
    else:
        frames = _finish(_jpeg(frames, second.jpeg), size, degradation)
    if degradation.h264:
        frames = compress_h264(frames.clamp(0, 1), degradation.h264)
    return (frames.clamp(0, 1) * LEVELS).round() / LEVELS


def _draw_pass(rng: np.random.Generator, ranges: Ranges) -> Pass:
    is_gaussian, gray = rng.random(2) < (GAUSSIAN_SHARE, GRAY_SHARE)
    larger, smaller = (rng.uniform(*pair) for pair in ((1.0, ranges.factor[1]), (ranges.factor[0], 1.0)))
    return Pass(
        _draw_kernel(rng, ranges.deviation) if rng.random() < ranges.blurred else None,
        float(rng.choice((larger, smaller, 1.0), p=ranges.resized)),
        str(rng.choice(list(FILTERS))),
        float(rng.uniform(*ranges.gaussian)) if is_gaussian else 0.0,
        0.0 if is_gaussian else float(rng.uniform(*ranges.poisson)),
        bool(gray),
        int(rng.integers(*JPEG_QUALITY)),
    )


def _draw_kernel(rng: np.random.Generator, deviation: tuple[float, float]) -> Kernel:
    if rng.random() < SINC_SHARE:
        return _draw_sinc(rng)
    kind = str(rng.choice(KINDS, p=KIND_SHARES))
    first, second = rng.uniform(*deviation, 2)
    is_round = rng.random() < ROUND[kind]
    low, high = SHAPES[kind]
    shape = float(rng.uniform(low, 1.0) if rng.random() < 0.5 else rng.uniform(1.0, high))
    angle = float(rng.uniform(0, np.pi))
    return Kernel(kind, _draw_size(rng), (float(first), float(first if is_round else second)), angle, shape)


def _draw_sinc(rng: np.random.Generator, *, narrow: bool = True) -> Kernel:
    """``narrow``: large kernels may have a lower cutoff."""
    size = _draw_size(rng)
    return Kernel("sinc", size, shape=float(rng.uniform(np.pi / (5 if narrow and size >= 13 else 3), np.pi)))


def _draw_size(rng: np.random.Generator) -> int:
    return 2 * int(rng.integers(3, 11)) + 1


def _apply(frames: Tensor, one: Pass, full: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Blur, resizing to ``factor`` of (height, width) ``full``, and noise."""
    height, width = full if one.factor == 1 else (max(8, round(side * one.factor)) for side in full)
    return _add_noise(_resize(_filter(frames, one.kernel), (height, width), one.filter), one, generator)


def _finish(frames: Tensor, size: tuple[int, int], degradation: SecondOrder) -> Tensor:
    """At the size of the result, with the last ringing."""
    return _filter(_resize(frames, size, degradation.filter), degradation.sinc)


def _add_noise(frames: Tensor, one: Pass, generator: torch.Generator) -> Tensor:
    frames = frames.clamp(0, 1)
    if one.gaussian:
        shape = (*frames.shape[:3], 1 if one.gray else 3)
        frames = frames + one.gaussian / LEVELS * torch.randn(shape, generator=generator)
    if one.poisson:
        light = frames.mean(-1, keepdim=True) if one.gray else frames
        frames = frames + one.poisson * (torch.poisson(light * LEVELS, generator=generator) / LEVELS - light)
    return frames.clamp(0, 1)


def _filter(frames: Tensor, kernel: Kernel | None) -> Tensor:
    if kernel is None:
        return frames
    taps = kernel.taps()
    return map_frames(frames, lambda frame: cv2.filter2D(frame, -1, taps, borderType=cv2.BORDER_REFLECT_101))


def _resize(frames: Tensor, size: tuple[int, int], filter: str) -> Tensor:
    if tuple(frames.shape[1:3]) == size:
        return frames
    return map_frames(frames, lambda frame: cv2.resize(frame, size[::-1], interpolation=FILTERS[filter]))


def _jpeg(frames: Tensor, quality: int) -> Tensor:
    return map_frames(frames.clamp(0, 1), lambda frame: compress_jpeg(frame, quality)) if quality else frames


def _bessel(x: np.ndarray) -> np.ndarray:
    """J1, as the mean of cos(t - x sin t) over half a turn."""
    t = (np.arange(BESSEL_STEPS) + 0.5) * np.pi / BESSEL_STEPS
    return np.asarray(np.cos(t - x[..., None] * np.sin(t)).mean(-1))
