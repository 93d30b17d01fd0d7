"""The recurrent network of the restorer: upscaling by 4 with what the neighbouring frames show.

Of the BasicVSR family (Chan et al., CVPR 2021): features of every frame, a pass backward and a pass
forward in time, each carrying a state along the optical flow. What is carried is not a map of
features at the size of the input but an estimate of the large picture (Sajjadi et al., CVPR 2018)
with a few hidden channels, warped at the large size: interpolated there, the sub-pixel positions
of the neighbours' samples survive, which is what super-resolution from several frames lives on.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import phrase
from ..files import read_network, write_weights
from ..plan.target_size import SCALE
from .folding import fold, folded_bicubic, unfold

FORMAT = "patchvsr-restorer"
SLOPE = 0.1
"""Of the leaky rectifiers."""


@dataclass(frozen=True)
class RestorerConfig:
    """Hyper-parameters."""

    channels: int = 64
    """Of all feature maps."""
    stem_blocks: int = 4
    """Residual blocks on every frame, before the recurrences."""
    backward_blocks: int = 3
    """Residual blocks of a step from the last frame to the first."""
    forward_blocks: int = 10
    """Residual blocks of a step from the first frame to the last; they make the result."""
    hidden: int = 1
    """Channels of the state at the large size, beside its picture."""

    @property
    def state_channels(self) -> int:
        """Of a state, folded to the size of the input."""
        return (3 + self.hidden) * SCALE**2


@dataclass(frozen=True, eq=False)
class Restored:
    """What the network makes of a clip."""

    frames: Tensor
    """(B, T, 3, 4 h, 4 w), may overshoot [0, 1] slightly."""
    backward_frames: Tensor
    """The same shape: the estimate of the backward pass, made of the frame and those after it."""
    features: Tensor
    """(B, T, channels, h, w) of the forward pass, before the result."""


class Restorer(nn.Module):
    """The network; a clip of one frame is restored by itself."""

    def __init__(self, config: RestorerConfig = RestorerConfig()) -> None:
        super().__init__()
        self.config = config
        width, state = config.channels, config.state_channels
        self.stem = _conv(3 + 1, width)
        self.stem_blocks = _blocks(width, config.stem_blocks)
        self.backward_entry = _conv(width + state, width)
        self.backward_blocks = _blocks(width, config.backward_blocks)
        self.backward_state = _conv(width, state)
        self.forward_entry = _conv(width + 2 * state, width)
        self.forward_blocks = _blocks(width, config.forward_blocks)
        self.forward_state = _conv(width, state)
        for layer in (self.backward_state, self.forward_state):
            _quiet(layer)

    def forward(
        self, clip: Tensor, to_next: Tensor, to_previous: Tensor, degradation: Tensor | None = None
    ) -> Restored:
        """Upscale a clip by 4.

        Args:
            clip: (B, T, 3, h, w) in [0, 1].
            to_next: (B, T - 1, 2, h, w) optical flow in pixels from every frame but the last to the next one.
            to_previous: (B, T - 1, 2, h, w) from every frame but the first to the one before.
            degradation: (B,) level of noise and compression, see :func:`degradation.degradation_level`; None: clean.
        """
        batch, length = clip.shape[:2]
        features = self.frame_features(clip.flatten(0, 1), degradation).unflatten(0, (batch, length))
        bicubic = upsampled(clip.flatten(0, 1), self.config.hidden).unflatten(0, (batch, length))
        backward = self.pass_backward(features, bicubic, to_next)
        results, kept = [], []
        state: Tensor | None = None
        for t in range(length):
            flow = to_previous[:, t - 1] if state is not None else None
            state, found = self.step_forward(features[:, t], bicubic[:, t], backward[t], state, flow)
            results.append(state)
            kept.append(found)
        return Restored(
            torch.stack([picture(state) for state in results], 1),
            torch.stack([picture(state) for state in backward], 1),
            torch.stack(kept, 1),
        )

    def frame_features(self, frames: Tensor, degradation: Tensor | None = None) -> Tensor:
        """(N, channels, h, w) of single frames, (N, 3, h, w) in [0, 1]; the degradation is that of each clip."""
        level = frames.new_zeros(len(frames)) if degradation is None else degradation.to(frames)
        level = level.repeat_interleave(len(frames) // len(level))
        plane = level.view(-1, 1, 1, 1).expand(-1, 1, *frames.shape[2:])
        given = torch.cat([frames - 0.5, plane], 1).to(self.stem.weight.dtype)
        return self.stem_blocks(_leaky(self.stem(given.contiguous(memory_format=torch.channels_last))))

    def pass_backward(self, features: Tensor, bicubic: Tensor, to_next: Tensor) -> list[Tensor]:
        """States of the backward pass, in the order of the frames.

        Args:
            features, bicubic: (B, T, C, h, w), see :meth:`step_backward`.
            to_next: (B, T - 1, 2, h, w).
        """
        states: list[Tensor] = []
        for t in reversed(range(features.shape[1])):
            later, flow = (states[-1], to_next[:, t]) if states else (None, None)
            states.append(self.step_backward(features[:, t], bicubic[:, t], later, flow))
        return states[::-1]

    def step_backward(self, features: Tensor, bicubic: Tensor, later: Tensor | None, flow: Tensor | None) -> Tensor:
        """State of a frame from the state of the next one.

        Args:
            features: (B, channels, h, w) of the frame.
            bicubic: (B, state_channels, h, w), see :func:`upsampled`.
            later: state of the next frame; None at the end of the clip.
            flow: (B, 2, h, w) from the frame to the next one.
        """
        given = torch.cat([features, self._carried(bicubic, later, flow, features)], 1)
        found = self.backward_blocks(_leaky(self.backward_entry(given)))
        return bicubic + self.backward_state(found).to(bicubic.dtype)

    def step_forward(
        self, features: Tensor, bicubic: Tensor, backward: Tensor, earlier: Tensor | None, flow: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(state, features) of a frame from the backward pass and from the state of the frame before."""
        seen = (backward - bicubic).to(features.dtype)
        given = torch.cat([features, seen, self._carried(bicubic, earlier, flow, features)], 1)
        found = self.forward_blocks(_leaky(self.forward_entry(given)))
        return bicubic + self.forward_state(found).to(bicubic.dtype), found

    def _carried(self, bicubic: Tensor, state: Tensor | None, flow: Tensor | None, like: Tensor) -> Tensor:
        """What the neighbour's state shows beyond bicubic where this frame is; nothing without a neighbour."""
        if state is None or flow is None:
            return torch.zeros_like(bicubic, dtype=like.dtype)
        return (warped(state, flow) - bicubic).to(like.dtype)


def upsampled(frames: Tensor, hidden: int) -> Tensor:
    """A state without knowledge: bicubic enlargement, folded to the size of the input; hidden channels are 0.

    Args:
        frames: (N, 3, h, w) in [0, 1].

    Returns:
        (N, (3 + hidden) * 16, h, w) in single precision.
    """
    return folded_bicubic(frames.float(), 3 + hidden)


def picture(state: Tensor) -> Tensor:
    """(B, 3, 4 h, 4 w) of a state."""
    return unfold(state)[:, :3]


def bounded(large: Tensor) -> Tensor:
    """An unfolded state as the next step is given it: nothing that a recurrence adds up can grow without end.

    The picture is kept in [0, 1], hidden channels in [-1, 1].
    """
    return torch.cat([large[:, :3].clamp(0, 1), large[:, 3:].clamp(-1, 1)], 1)


def warped(state: Tensor, flow: Tensor) -> Tensor:
    """A neighbour's state, bounded, along the flow, interpolated at the large size.

    Args:
        state: (B, C * 16, h, w).
        flow: (B, 2, h, w) in pixels of the input, from this frame to the neighbour.
    """
    large = bounded(unfold(state))
    height, width = large.shape[2:]
    unit = torch.tensor([2 * SCALE / width, 2 * SCALE / height], device=flow.device)
    motion = F.interpolate(flow.float() * unit[:, None, None], scale_factor=SCALE, mode="bilinear", align_corners=False)
    x = torch.arange(1, 2 * width, 2, device=flow.device) / width - 1
    y = torch.arange(1, 2 * height, 2, device=flow.device)[:, None] / height - 1
    grid = torch.stack([motion[:, 0] + x, motion[:, 1] + y], -1)
    return fold(F.grid_sample(large, grid, mode="bilinear", padding_mode="border", align_corners=False))


def blend_restorers(faithful: Restorer, crisp: Restorer, detail: float, onto: Restorer | None = None) -> Restorer:
    """A network whose weights lie between those of two, of which one was trained on from the other.

    Such weights make results in between (network interpolation: Wang et al., ESRGAN, ECCV Workshops 2018).

    Args:
        detail: 0 for the weights of the first, 1 for those of the second.
        onto: a third that was trained on from the first: what crisp learned is added to its weights instead (task
            arithmetic: Ilharco et al., ICLR 2023).
    """
    blended = copy.deepcopy(onto or faithful)
    triples = zip(blended.parameters(), faithful.parameters(), crisp.parameters(), strict=True)
    for parameter, first, second in triples:
        parameter.add_(second - first, alpha=detail)
    return blended


def deepen(network: Restorer, config: RestorerConfig) -> Restorer:
    """A deeper network that does what a trained one does: new residual blocks come last in their rows and add nothing.

    Their last layers start at zero (Chen et al., Net2Net, ICLR 2016).

    Args:
        config: has at least as many blocks.

    Raises:
        ValueError: for any other difference of size.
    """
    deeper = Restorer(config)
    for name, row in deeper.named_children():
        if isinstance(row, nn.Sequential):
            for block in list(row)[len(network.get_submodule(name)) :]:  # type: ignore[arg-type]
                assert isinstance(block, _Residual)
                nn.init.zeros_(block.conv2.weight)
    known, own = network.state_dict(), deeper.state_dict()
    if any(name not in own or own[name].shape != value.shape for name, value in known.items()):
        raise ValueError("only the number of blocks may grow")
    deeper.load_state_dict(own | known)
    return deeper


def save_restorer(network: Restorer, path: str | Path) -> None:
    """Write a network with its configuration, in half precision."""
    write_weights(path, network, network.config, FORMAT, torch.float16)


def load_restorer(path: str | Path) -> Restorer:
    """Read a network's file.

    Raises:
        ModelError: in one sentence, what is wrong with the file.
    """
    network = read_network(Path(path), FORMAT, phrase("restorer"), RestorerConfig, Restorer)
    return network.to(memory_format=torch.channels_last).requires_grad_(False).eval()  # type: ignore[call-overload]


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (_conv(channels, channels) for _ in range(2))
        _quiet(self.conv2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(_leaky(self.conv1(x)))


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(channels) for _ in range(count)))


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


@torch.no_grad()
def _quiet(layer: nn.Conv2d) -> None:
    """A new layer that adds little: training starts at bicubic."""
    layer.weight.mul_(0.1)
    assert layer.bias is not None
    layer.bias.zero_()


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE, inplace=True)
