"""DAP: online 4x video super-resolution with a deformable attention pyramid.

Source: DAP (WACV 2023). Neither code nor weights were published; this is a reimplementation from the
paper. A recurrent cell takes the current frame, and features and a hidden state of the previous one:
an encoder, a pyramid that predicts offsets into the hidden state, deformable attention over the
sampling points, and a residual network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import phrase
from ..errors.finite import mark_source
from ..files import explain_read_errors, fill_module, parse_config, read_weights, write_weights
from ..plan.target_size import SCALE
from ..resample.folded import REACH_PX, bicubic_taps
from .deformable_gather import sample_points

FORMAT = "patchvsr-dap"
RENAMED = {"places": "points"}
"""Fields of a configuration that have other names in older files."""


@dataclass(frozen=True)
class DAPConfig:
    """Hyper-parameters; the last three are those of the paper's ablation."""

    channels: int = 128
    """Channels of the hidden state and the residual network."""
    features: int = 32
    """Channels of the encoder, at every level."""
    keys: int = 64
    """Channels of queries and keys."""
    levels: int = 4
    """Levels of the pyramid, each half the size of the previous one."""
    points: int = 8
    """Sampling points per pixel."""
    blocks: int = 8
    """Residual blocks."""
    offsets: bool = True
    """False: sample the hidden state without motion compensation."""
    pyramid: bool = True
    """False: predict offsets at full resolution only."""
    attention: bool = True
    """False: average over the sampling points."""


@dataclass(frozen=True, eq=False)
class DAPState:
    """Recurrent state: what is carried over from the previous frame."""

    features: tuple[Tensor, ...]
    """Encoder features of every level, the largest first."""
    hidden: Tensor
    """(B, channels, h, w)"""


def save_dap(network: DAP, path: str | Path) -> None:
    """Write a network with its configuration, in half precision."""
    write_weights(path, network, network.config, FORMAT, torch.float16)


def load_dap(path: str | Path) -> DAP:
    """Read a network's file.

    Raises:
        ModelError: when the file is missing, damaged or not a DAP network.
    """
    path = Path(path)
    config, tensors = read_weights(path, FORMAT, phrase("DAP network"))
    with explain_read_errors(path):
        chosen = parse_config(DAPConfig, {RENAMED.get(name, name): value for name, value in config.items()})
        network = mark_source(fill_module(lambda: DAP(chosen), tensors), path)
    return network.requires_grad_(False).eval()


class DAP(nn.Module):
    """The recurrent cell."""

    def __init__(self, config: DAPConfig = DAPConfig()) -> None:
        super().__init__()
        self.config = config
        width, features = config.channels, config.features
        self.encoder = nn.ModuleList(
            _Level(3 if level == 0 else features, features, stride=1 if level == 0 else 2)
            for level in range(config.levels)
        )
        self.offsets = nn.ModuleList(
            _Offsets(features, config.points) for _ in range(config.levels if config.pyramid else 1)
        )
        self.query = nn.Conv2d(features + 3, config.keys, 1)
        self.key = nn.Conv2d(width + features, config.keys, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.enter = nn.Conv2d(width + 3, width, 3, padding=1)
        self.body = nn.Sequential(*(_Residual(width) for _ in range(config.blocks)))
        self.hidden = nn.Conv2d(width, width, 3, padding=1)
        self.picture = nn.Conv2d(width, 3 * SCALE**2, 3, padding=1)
        self.upsample = _BicubicUpsample()

    def forward(self, frames: Tensor) -> Tensor:
        """Upscale a clip, (B, T, 3, h, w) in [0, 1] to (B, T, 3, 4 h, 4 w)."""
        state: DAPState | None = None
        results = []
        for frame in frames.unbind(1):
            result, state = self.step(frame, state)
            results.append(result)
        return torch.stack(results, dim=1)

    def step(self, frame: Tensor, state: DAPState | None) -> tuple[Tensor, DAPState]:
        """Upscale the next frame of a stream.

        Args:
            frame: (B, 3, h, w) in [0, 1]; float32 even for a half-precision network, as it is upsampled and added.
            state: returned by the previous step; None at the beginning of a shot.

        Returns:
            ((B, 3, 4 h, 4 w) frame in the dtype of the input, state for the next step).
        """
        image = frame.to(self.query.weight.dtype)
        features = self._features(image)
        before = state or DAPState(features, image.new_zeros(len(frame), self.config.channels, *frame.shape[2:]))
        found = self._attend(image, features[0], before, self.motion(features, before.features))
        x = self.body(F.relu(self.enter(torch.cat([image, found], 1)), inplace=True))
        result = F.pixel_shuffle(self.picture(x) + self.upsample(frame), SCALE)
        return result, DAPState(features, F.relu(self.hidden(x), inplace=True))

    def motion(self, features: tuple[Tensor, ...], before: tuple[Tensor, ...]) -> Tensor:
        """Predict the positions in the previous frame of the content of the current one.

        Returns:
            (B, h, w, points, 2) float32 offsets (dx, dy) in pixels.
        """
        here = features[0]
        count = self.config.points
        if not self.config.offsets:
            return here.new_zeros(len(here), *here.shape[2:], 1, 2, dtype=torch.float32)
        found: Tensor | None = None
        for level in reversed(range(len(self.offsets))):
            here = features[level]
            if found is None:
                guess = here.new_zeros(len(here), 2 * count, *here.shape[2:], dtype=torch.float32)
            else:
                guess = 2 * F.interpolate(found, size=here.shape[2:], mode="bilinear", align_corners=False)
            fetched = sample_points(_pairs(guess)).gather_sum(before[level])
            found = guess + self.offsets[level](torch.cat([here, fetched, guess.to(here)], 1))
        assert found is not None
        return _pairs(found)

    def align(self, frames: Tensor) -> Tensor:
        """Warp every frame but the last to the next one with the predicted offsets, averaging over sampling points.

        Args:
            frames: (B, T, 3, h, w) frames of one shot.

        Returns:
            (B, T - 1, 3, h, w).
        """
        before, here = frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)
        offsets = self.motion(self._features(here), self._features(before))
        return sample_points(offsets).gather_sum(before.float()).unflatten(0, (len(frames), -1))

    def _features(self, frame: Tensor) -> tuple[Tensor, ...]:
        levels, x = [], frame
        for level in self.encoder:
            x = level(x)
            levels.append(x)
        return tuple(levels)

    def _attend(self, frame: Tensor, features: Tensor, before: DAPState, offsets: Tensor) -> Tensor:
        """Deformable attention over the hidden state of the previous frame."""
        where, value = sample_points(offsets), self.value(before.hidden)
        if not self.config.attention:
            return where.gather_sum(value)
        query = self.query(torch.cat([features, frame], 1)).movedim(1, -1)
        keys = where.gather(self.key(torch.cat([before.hidden, before.features[0]], 1)))
        likeness = (keys * query[..., None, :]).sum(-1, dtype=torch.float32) / self.config.keys**0.5
        return where.gather_sum(value, likeness.movedim(-1, 0).softmax(0).movedim(0, -1))  # faster along planes


class _Level(nn.Sequential):
    """One level of the encoder."""

    def __init__(self, channels: int, features: int, stride: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(channels, features, 3, stride=stride, padding=1), nn.ReLU(True)]
        for _ in range(2):
            layers += [nn.Conv2d(features, features, 3, padding=1), nn.ReLU(True)]
        super().__init__(*layers)


class _Offsets(nn.Sequential):
    """Predicts a residual of all offsets at one level; zero before training."""

    def __init__(self, features: int, sample_points: int) -> None:
        last = nn.Conv2d(features, 2 * sample_points, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        super().__init__(nn.Conv2d(2 * features + 2 * sample_points, features, 3, padding=1), nn.ReLU(True), last)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x), inplace=True))


class _BicubicUpsample(nn.Module):
    """Bicubic upsampling by 4 as a convolution before ``pixel_shuffle``, in the dtype of the frame."""

    ONE = 2**22
    """Fixed-point scale of the weights, which are stored as integers so that ``half()`` leaves them exact."""

    def __init__(self) -> None:
        super().__init__()
        self.taps: Tensor
        self.register_buffer("taps", (bicubic_taps() * self.ONE).round().int().repeat(3, 1, 1, 1), False)

    def forward(self, frame: Tensor) -> Tensor:
        padded = F.pad(frame, (REACH_PX,) * 4, mode="replicate")
        return F.conv2d(padded, (self.taps.float() / self.ONE).to(frame.dtype), groups=3)


def _pairs(offsets: Tensor) -> Tensor:
    """(B, 2 points, h, w) to (B, h, w, points, 2)."""
    return offsets.movedim(1, -1).unflatten(-1, (-1, 2))
