"""Spatial feature transform (SFT) and spatio-temporal residual blocks, the parts of a conditional decoder.

Source: SFTGAN (CVPR 2018), and the video VAE decoder of Upscale-A-Video (CVPR 2024). All tensors are
(B, C, T, H, W).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MakeNorm = Callable[[int], nn.Module]
"""Creates a norm for a number of channels."""
GROUPS = 32
TEMPORAL_KERNEL = 3
Before = tuple[Tensor, Tensor] | None
"""The last frames that the two convolutions of a :class:`TemporalBlock` saw."""
EPS = 1e-6


def group_norm(channels: int) -> nn.Module:
    """The paper's norm; its statistics are over the whole clip."""
    return nn.GroupNorm(GROUPS, channels, eps=EPS)


class PositionNorm(nn.Module):
    """Pointwise RMS norm over channels, as in Wan's VAE: tiles give the same result as whole frames."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) to the same."""
        scale = (x.square().mean(1, keepdim=True) + EPS).rsqrt()
        return x * scale * self.weight.view(-1, *[1] * (x.ndim - 2))


class ResidualBlock2d(nn.Module):
    """Two convolutions per frame with a shortcut.

    Args:
        kernel: kernel size; 1 makes the block pointwise.
    """

    def __init__(self, inputs: int, outputs: int, norm: MakeNorm = group_norm, kernel: int = 3) -> None:
        super().__init__()
        self.norm1 = norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm2 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel, padding=kernel // 2)
        self.conv_shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, H, W) to (B, outputs, T, H, W)."""
        y = apply_per_frame(self.conv1, F.silu(self.norm1(x)))
        y = apply_per_frame(self.conv2, F.silu(self.norm2(y)))
        return apply_per_frame(self.conv_shortcut, x) + y


class ResidualBlockPlus(ResidualBlock2d):
    """A :class:`ResidualBlock2d`, then a zero-initialised 3D convolution."""

    def __init__(self, inputs: int, outputs: int, norm: MakeNorm = group_norm) -> None:
        super().__init__(inputs, outputs, norm)
        self.norm_3d = norm(outputs)
        self.conv_3d = nn.Conv3d(outputs, outputs, 3, padding=(0, 1, 1))
        _zero_init(self.conv_3d)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, H, W) to (B, outputs, T, H, W)."""
        x = super().forward(x)
        # Padded in time explicitly: the gradient of the convolution's own padding is wrong for two frames
        # in bfloat16 on a CPU (oneDNN as of torch 2.13).
        around = F.pad(F.silu(self.norm_3d(x)), (0, 0, 0, 0, 1, 1))
        return x + self.conv_3d(around)


class TemporalBlock(nn.Module):
    """Two convolutions along time with a shortcut; the second is zero-initialised, so that a new block does nothing.

    They look at this frame and the two before, as all of Wan's VAE does, so that a clip can be passed through in parts.

    Source: the temporal residual blocks of Upscale-A-Video's video decoder, which look both ways.
    """

    def __init__(self, channels: int, norm: MakeNorm = group_norm) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(channels), norm(channels)
        self.conv1 = nn.Conv3d(channels, channels, (TEMPORAL_KERNEL, 1, 1))
        self.conv2 = nn.Conv3d(channels, channels, (TEMPORAL_KERNEL, 1, 1))
        _zero_init(self.conv2)

    def forward(self, x: Tensor, before: Before = None, weight: float = 1.0) -> tuple[Tensor, Before]:
        """(B, C, T, H, W) to the same.

        Args:
            before: returned for the previous part of the clip; None at its beginning, before which all is zero.
            weight: 0 leaves ``x`` unchanged.
        """
        first, earlier = _convolve_causally(self.conv1, F.silu(self.norm1(x)), None if before is None else before[0])
        second, later = _convolve_causally(self.conv2, F.silu(self.norm2(first)), None if before is None else before[1])
        return x.add(second, alpha=weight), (earlier, later)


class Modulation(nn.Module):
    """SFT: scales and shifts features, given a condition; the identity before training.

    features + weight * (features * scale + shift), where scale and shift are predicted from both.

    Args:
        hidden: hidden channels; as many as features in the paper.
        kernel: kernel size; 3 in the paper.
    """

    def __init__(
        self, condition: int, features: int, norm: MakeNorm = group_norm, *, hidden: int | None = None, kernel: int = 3
    ) -> None:
        super().__init__()
        hidden = hidden or features
        self.shared = nn.Sequential(
            ResidualBlock2d(condition + features, hidden, norm, kernel),
            ResidualBlock2d(hidden, hidden, norm, kernel),
        )
        self.scale = nn.Conv2d(hidden, features, kernel, padding=kernel // 2)
        self.shift = nn.Conv2d(hidden, features, kernel, padding=kernel // 2)
        for conv in (self.scale, self.shift):
            _zero_init(conv)

    def forward(self, condition: Tensor, features: Tensor, weight: float = 1.0) -> Tensor:
        """(B, condition, T, H, W), (B, features, T, H, W) to modulated features; ``weight`` 0 leaves them unchanged."""
        # Concatenated per frame, so that the memory layout stays the one that the convolutions want.
        both = torch.cat([condition.transpose(1, 2), features.transpose(1, 2)], 2).transpose(1, 2)
        shared = self.shared(both)
        scale, shift = apply_per_frame(self.scale, shared), apply_per_frame(self.shift, shared)
        return features.add(torch.addcmul(shift, features, scale), alpha=weight)


def apply_per_frame(conv: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a function of images (N, C, H, W) to every frame of (B, C, T, H, W)."""
    frames = conv(x.transpose(1, 2).flatten(0, 1))
    return frames.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)


def _convolve_causally(conv: nn.Conv3d, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """(result, last frames of the input for the next part)."""
    reach = TEMPORAL_KERNEL - 1
    earlier = x.new_zeros(*x.shape[:2], reach, *x.shape[3:]) if before is None else before
    joined = torch.cat([earlier, x], 2)
    result: Tensor = conv(joined)
    return result, joined[:, :, -reach:]


def _zero_init(conv: nn.Module) -> None:
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
