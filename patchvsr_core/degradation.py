"""Blind degradation estimation: a small network predicts the level of noise and compression in the input.

Degradation is measured as the RMS difference from the clean clip; a clean clip has 0. Restorer and refiner are
conditioned on it: restoring a clean clip as if it were noisy costs detail, and restoring a noisy one as if it
were clean keeps the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import phrase
from .errors.finite import check_finite
from .files import read_network, write_weights
from .weights import shipped

FORMAT = "patchvsr-estimator"
FILE = "estimator.safetensors"
UNCERTAIN_LEVELS = (0.5, 0.8)
"""Estimates up to the first level also occur for clean clips and are set to 0; from the second on they count fully."""
GAIN = 32.0
"""Gain of the high-pass input channels, which carry most of the degradation."""
SECOND_DERIVATIVE = ((1.0, -2.0, 1.0), (-2.0, 4.0, -2.0), (1.0, -2.0, 1.0))
NORMAL_MEDIAN = 0.6745
"""Median of the absolute value of a normal variable of deviation 1."""
COMPRESSED_BELOW = 0.35
"""Deviation of the noise over the RMS of the degradation. Noise of any kind has 0.46 to 1.2, x264 at crf 18 to 28 and
JPEG at most 0.24, and so has noise that was then compressed, as little of it is left."""
BLACK, WHITE = 2 / 255, 253 / 255
"""Beyond them noise is cut off."""
FILLED = 0.5
"""Share of the first and last row and column of a picture between black bars that is not black."""
MAX_FRAMES = 8
CROP_PX = 640
"""The estimate uses at most so many frames, and a centre crop of at most this side."""


def degradation_level(rms: Tensor) -> Tensor:
    """Degradation level on the logarithmic scale that the networks use: 0 when clean, 1 at an RMS of 3/255.

    Args:
        rms: RMS difference from the clean frames, which are in [0, 1].
    """
    return (1 + 255 * rms).log2() / 2


def degradation_rms(level: float) -> float:
    """The RMS difference that a level stands for: the way back."""
    return float((4**level - 1) / 255)


@dataclass(frozen=True)
class MeasuredDegradation:
    """What was found to degrade a clip."""

    level: float = 0.0
    """See :func:`degradation_level`."""
    is_compressed: bool = False
    """Whether it is compression, see :func:`is_compressed`."""

    def scaled(self, strength: float) -> MeasuredDegradation:
        """What is to be removed of it; the strength is a factor on the level."""
        return MeasuredDegradation(strength * self.level, self.is_compressed and strength > 0)


CLEAN = MeasuredDegradation()


@dataclass(frozen=True)
class EstimatorConfig:
    """Hyper-parameters, stored beside the weights."""

    channels: int = 32
    """Of the first two feature maps."""
    features: int = 48
    """Of the last two, and of the hidden layer."""
    views: int = 4
    """Averages of the features over places that the network chooses."""


class DegradationEstimator(nn.Module):
    """Predicts :func:`degradation_level` from convolutional features over a clip.

    They are averaged over all places, and over those that tell most: noise shows in flat areas, blocks beside edges.
    """

    def __init__(self, config: EstimatorConfig = EstimatorConfig()) -> None:
        super().__init__()
        self.config = config
        channels, features = config.channels, config.features
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(6, channels, 3),
                nn.Conv2d(channels, channels, 3, stride=2),
                nn.Conv2d(channels, features, 3, stride=2),
                nn.Conv2d(features, features, 3),
            ]
        )
        self.views = nn.Conv2d(features, config.views, 1)
        self.hidden = nn.Linear((2 + config.views) * features, features)
        self.out = nn.Linear(features, 1)

    def forward(self, source: Tensor) -> Tensor:
        """Estimate the level of a (T, 3, h, w) clip in [0, 1]; a scalar of at least 0."""
        found = torch.cat([self._find_features(frame) for frame in _tile_to_size(source).split(1)])
        places = found.movedim(1, 0).flatten(1)
        weights = self.views(found).movedim(1, 0).flatten(1).softmax(1)
        deviation = found.flatten(2).std(2, correction=0).mean(0)
        pooled = torch.cat([places.mean(1), deviation, (weights @ places.T).flatten()])
        return F.softplus(self.out(F.relu(self.hidden(pooled))))[0]

    def _find_features(self, frame: Tensor) -> Tensor:
        """(1, features, h', w') of a (1, 3, h, w) frame: frame by frame, so that memory does not grow with the clip."""
        around = F.avg_pool2d(F.pad(frame, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        found = torch.cat([frame - 0.5, GAIN * (frame - around)], 1)
        for conv in self.convs:
            found = F.relu(conv(found))
        return found

    @torch.inference_mode()
    def estimate(self, source: Tensor) -> float:
        """Estimate the level of a (T, h, w, 3) clip in [0, 1], from a centre crop of some of its frames."""
        part = _choose_part(source)
        level = self(part.movedim(-1, 1).to(self.out.weight))
        return float(check_finite(level, phrase("degradation estimator"), self))


def estimate_degradation(
    estimator: DegradationEstimator | None, source: Tensor, restore_strength: float = 1.0
) -> float:
    """Estimate the degradation level of a (T, h, w, 3) input in [0, 1], for restorer, refiner and back-projection.

    Args:
        estimator: None to treat every input as clean.
        restore_strength: factor on the level; 0 treats the input as clean.
    """
    if estimator is None or not restore_strength:
        return 0.0
    return restore_strength * trusted_level(estimator.estimate(source))


def estimate_input_degradation(source: Tensor, restore_strength: float = 1.0) -> float:
    """What the shipped estimator says; see :func:`estimate_degradation`."""
    return estimate_degradation(shipped_estimator(), source, restore_strength)


def measure_degradation(estimator: DegradationEstimator | None, source: Tensor) -> MeasuredDegradation:
    """Level and kind of the degradation of a (T, h, w, 3) input in [0, 1]; see :func:`estimate_degradation`."""
    level = estimate_degradation(estimator, source)
    return MeasuredDegradation(level, is_compressed(source, level))


def trusted_level(estimate: float) -> float:
    """The level that an estimate stands for: small ones occur for clean clips too, and count for little or nothing."""
    low, high = UNCERTAIN_LEVELS
    return estimate * min(1.0, max(0.0, (estimate - low) / (high - low)))


def is_compressed(source: Tensor, degradation: float) -> bool:
    """Whether compression is what degrades a clip: its noise explains little of it.

    The noise is measured where the picture is flat, by the median of the second derivative in both directions
    (J. Immerkær, Fast Noise Variance Estimation, CVIU 1996, whose mean counts texture, too).

    Args:
        source: (T, h, w, 3) in [0, 1]. What is black or white in it tells nothing, as letterboxes hold no noise.
        degradation: its level, see :func:`degradation_level`; 0: clean, and not compressed.
    """
    if degradation <= 0 or min(source.shape[1:3]) < len(SECOND_DERIVATIVE):
        return False
    frames = _choose_part(source)
    kernel = torch.tensor(SECOND_DERIVATIVE, device=frames.device, dtype=torch.float32)
    gray = frames.float().mean(-1)[:, None]
    response = F.conv2d(gray, kernel[None, None]).abs()
    middle = gray[..., 1:-1, 1:-1]
    told = response[(middle > BLACK) & (middle < WHITE)]
    if not len(told):
        return False
    deviation = float(told.median()) / (NORMAL_MEDIAN * float(kernel.square().sum().sqrt()))
    return deviation < COMPRESSED_BELOW * degradation_rms(degradation)


def save_estimator(estimator: DegradationEstimator, path: str | Path) -> None:
    """Write an estimator with its configuration, in half precision."""
    write_weights(path, estimator, estimator.config, FORMAT, torch.float16)


def load_estimator(path: str | Path) -> DegradationEstimator:
    """Read an estimator's file, in single precision: it measures differences of a few levels of 255.

    Raises:
        ModelError: in one sentence, what is wrong with the file.
    """
    kind = phrase("degradation estimator")
    estimator = read_network(Path(path), FORMAT, kind, EstimatorConfig, DegradationEstimator)
    return estimator.requires_grad_(False).eval()


@lru_cache(maxsize=1)
def shipped_estimator() -> DegradationEstimator:
    """The one that ships with PatchVSR, on the CPU.

    Raises:
        ModelError: when its file is missing or damaged.
    """
    return load_estimator(shipped(FILE))


def _choose_part(source: Tensor) -> Tensor:
    """A centre crop of some frames of a (T, h, w, 3) clip, without the black bars around it."""
    chosen = torch.linspace(0, len(source) - 1, min(len(source), MAX_FRAMES)).round().long()
    rows, columns = _find_picture([source[index] for index in chosen.tolist()])
    return source[chosen.to(source.device), _crop(rows), _crop(columns)]


def _find_picture(frames: Sequence[Tensor]) -> tuple[slice, slice]:
    """Rows and columns of (h, w, 3) frames, without black bars beside them: what is seen in any fills its borders."""
    seen = torch.stack([frame.amax(-1) > BLACK for frame in frames]).any(0)
    whole = slice(0, seen.shape[0]), slice(0, seen.shape[1])
    spans = [seen.any(axis).nonzero().flatten().tolist() for axis in (1, 0)]
    if not all(spans):
        return whole
    rows, columns = (slice(span[0], span[-1] + 1) for span in spans)
    picture = seen[rows, columns].float()
    if float(torch.stack([picture[[0, -1]].mean(1), picture[:, [0, -1]].mean(0)]).min()) < FILLED:
        return whole  # a title on black, or a dark scene
    return rows, columns


def _crop(span: slice) -> slice:
    """Its middle, of at most :data:`CROP_PX`."""
    first = span.start + max(0, (span.stop - span.start - CROP_PX) // 2)
    return slice(first, min(first + CROP_PX, span.stop))


def _tile_to_size(frames: Tensor, least: int = 24) -> Tensor:
    """Repeat tiny frames until the convolutions fit."""
    repeats = [-(-least // length) for length in frames.shape[2:]]
    return frames.repeat(1, 1, *repeats)
