"""DAP: online upscaling of video by 4 with a deformable attention pyramid.

Source: DAP (WACV 2023), of which neither code nor weights were published; this is a reconstruction
from its description and its tables. A cell sees the frame at hand and remembers features and a
hidden state of the frame before: an encoder, a pyramid of offsets that says where the hidden state
shows what is here now, attention over those places, and a residual network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..files import explain_read_errors, read_weights, write_weights
from .deformable_gather import sample_points

SCALE = 4
FORMAT = "patchvsr-dap"
RENAMED = {"places": "points"}
"""Fields of a configuration by the names that older files have for them."""


@dataclass(frozen=True)
class DAPConfig:
    """Hyper-parameters; the last three are the rows of the paper's ablation."""

    channels: int = 128
    """Of hidden state and residual network."""
    features: int = 32
    """Of the encoder, at every level."""
    keys: int = 64
    """Of queries and keys."""
    levels: int = 4
    """Of the pyramid, each half as large as the one before."""
    points: int = 8
    """Offsets at every pixel."""
    blocks: int = 8
    """Of the residual network."""
    offsets: bool = True
    """False: the hidden state is read where it lies."""
    pyramid: bool = True
    """False: offsets at full size alone."""
    attention: bool = True
    """False: all places count the same."""


@dataclass(frozen=True, eq=False)
class DAPState:
    """What is remembered of the frame before."""

    features: tuple[Tensor, ...]
    """Of every level, the largest first."""
    hidden: Tensor
    """(B, channels, h, w)"""


def save_dap(network: DAP, path: str | Path) -> None:
    """Write a network with its configuration, in half precision."""
    write_weights(path, network, network.config, FORMAT, torch.float16)


def load_dap(path: str | Path) -> DAP:
    """Read a network's file.

    Raises:
        ModelError: in one sentence, what is wrong with the file.
    """
    path = Path(path)
    config, tensors = read_weights(path, FORMAT, "DAP network")
    with explain_read_errors(path):
        network = DAP(DAPConfig(**{RENAMED.get(name, name): value for name, value in config.items()}))
        network.load_state_dict(tensors)
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
        self.enlarge = _BicubicUpsample()

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
            frame: (B, 3, h, w) in [0, 1]; single precision also for a network in half, as it is enlarged and added.
            state: what the step before answered; None at the beginning of a shot.

        Returns:
            ((B, 3, 4 h, 4 w) frame in the precision of the input, state for the next step).
        """
        image = frame.to(self.query.weight.dtype)
        features = self._features(image)
        before = state or DAPState(features, image.new_zeros(len(frame), self.config.channels, *frame.shape[2:]))
        found = self._attend(image, features[0], before, self.motion(features, before.features))
        x = self.body(F.relu(self.enter(torch.cat([image, found], 1)), inplace=True))
        result = F.pixel_shuffle(self.picture(x) + self.enlarge(frame), SCALE)
        return result, DAPState(features, F.relu(self.hidden(x), inplace=True))

    def motion(self, features: tuple[Tensor, ...], before: tuple[Tensor, ...]) -> Tensor:
        """Where in the frame before the content of this one lies.

        Returns:
            (B, h, w, places, 2) float32 offsets (dx, dy) in pixels.
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
        """What the offsets make of every frame but the last, to look like the one after: the mean over all places.

        Args:
            frames: (B, T, 3, h, w) of a shot.

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
        """The hidden state of the frame before, fetched from all places and weighed."""
        where, value = sample_points(offsets), self.value(before.hidden)
        if not self.config.attention:
            return where.gather_sum(value)
        query = self.query(torch.cat([features, frame], 1)).movedim(1, -1)
        keys = where.gather(self.key(torch.cat([before.hidden, before.features[0]], 1)))
        likeness = (keys * query[..., None, :]).sum(-1, dtype=torch.float32) / self.config.keys**0.5
        return where.gather_sum(value, likeness.softmax(-1))


class _Level(nn.Sequential):
    """One size of the encoder."""

    def __init__(self, channels: int, features: int, stride: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(channels, features, 3, stride=stride, padding=1), nn.ReLU(True)]
        for _ in range(2):
            layers += [nn.Conv2d(features, features, 3, padding=1), nn.ReLU(True)]
        super().__init__(*layers)


class _Offsets(nn.Sequential):
    """Corrections of all offsets at one size; none before training."""

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
    """Bicubic enlargement by 4 as one convolution, before :func:`pixel_shuffle`; in the frame's own precision."""

    ONE = 2**22
    """Its weights are whole multiples of the inverse: integers stay what they are when a network is made half."""

    def __init__(self) -> None:
        super().__init__()
        impulses = torch.eye(25, dtype=torch.float64).view(25, 1, 5, 5)
        around = F.interpolate(impulses, scale_factor=SCALE, mode="bicubic", align_corners=False)
        taps = around[:, 0, 2 * SCALE : 3 * SCALE, 2 * SCALE : 3 * SCALE].reshape(25, SCALE**2).T
        self.taps: Tensor
        self.register_buffer("taps", (taps * self.ONE).round().int().view(-1, 1, 5, 5).repeat(3, 1, 1, 1), False)

    def forward(self, frame: Tensor) -> Tensor:
        padded = F.pad(frame, (2, 2, 2, 2), mode="replicate")
        return F.conv2d(padded, (self.taps.float() / self.ONE).to(frame.dtype), groups=3)


def _pairs(offsets: Tensor) -> Tensor:
    """(B, 2 places, h, w) as (B, h, w, places, 2)."""
    return offsets.movedim(1, -1).unflatten(-1, (-1, 2))
