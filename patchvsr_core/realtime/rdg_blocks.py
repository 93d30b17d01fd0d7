"""The blocks of RDG; attributes are named as in the published checkpoints, which load strictly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .deformable_gather import sample_points

HEADS = 4
REACH = 3
"""Pixels to either side that a cycle of channels reads."""
CYCLE = 2 * REACH + 1
"""Channels in it."""
BUFFERS = {"Motion": 2, "Depth": 1, "Normal": 3, "BRDF": 3}
"""Channels of the G-buffers."""


@dataclass(frozen=True)
class Guides:
    """The G-buffers of one frame at one size."""

    motion: Tensor
    depth: Tensor
    surface: Tensor
    """Normal and BRDF."""


class CycleConv(nn.Module):
    """A 1 x 1 convolution that reads its input channels beside one another along one axis, in cycles of seven."""

    def __init__(self, channels: int, *, across: bool) -> None:
        super().__init__()
        self.across = across
        self.weight = nn.Parameter(torch.empty(channels, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        shifts = (torch.arange(channels, device="cpu") + REACH) % CYCLE - REACH
        offset = torch.zeros(1, 2 * channels, 1, 1)
        offset[0, int(across) :: 2, 0, 0] = shifts
        self.register_buffer("offset", offset)  # (down, across) of every channel, as the published files have it
        taps = F.one_hot(shifts + REACH, CYCLE).float().view(channels, 1, *((1, CYCLE) if across else (CYCLE, 1)))
        self.taps: Tensor
        self.register_buffer("taps", taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        padding = (0, REACH) if self.across else (REACH, 0)
        shifted = F.conv2d(x, self.taps, padding=padding, groups=len(self.taps))  # one kernel for all channels
        return F.conv2d(shifted, self.weight, self.bias)


class DynamicFeatureModulation(nn.Module):
    """Far neighbours, through cyclic shifts, gated by near ones."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.proj_in = nn.Sequential(nn.Conv2d(channels, wide, 3, padding=1, groups=channels), nn.Conv2d(wide, wide, 1))
        self.mlp_h, self.mlp_w = CycleConv(channels, across=True), CycleConv(channels, across=False)
        self.merge, self.proj_out = nn.Conv2d(wide, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate, far = self.proj_in(x).chunk(2, dim=1)
        far = self.mlp_w(self.mlp_h(far))
        return self.proj_out(F.gelu(gate) * self.merge(torch.cat([x, far], 1)))


class FeedForward(nn.Module):
    """Channel mixing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fn = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.GELU(), nn.Conv2d(2 * channels, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x)


class EncoderBlock(nn.Module):
    """What every frame passes on its own, on the way to smaller sizes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dfm, self.ffn = DynamicFeatureModulation(channels), FeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dfm(x)
        return x + self.ffn(x)


class HybridFusion(nn.Module):
    """Features and the buffers of the surface gate one another."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_g = nn.Conv2d(BUFFERS["Normal"] + BUFFERS["BRDF"], channels, 3, padding=1)
        self.conv_x = nn.Conv2d(channels, channels, 3, padding=1)
        self.proj_out = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor, surface: Tensor) -> Tensor:
        a, b = self.conv_x(x), self.conv_g(surface)
        return self.proj_out(torch.cat([a * F.gelu(b), b * F.gelu(a)], 1))


class CrossFrameAttention(nn.Module):
    """Attention over channels to the features of the frame before, warped along the motion."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1, 1, channels // HEADS, 2 * channels // HEADS))  # in the files; unused
        self.to_q, self.to_kv = (
            nn.Sequential(nn.Conv2d(channels, wide, 1), nn.Conv2d(wide, wide, 3, padding=1, groups=wide))
            for wide in (2 * channels, 4 * channels)
        )
        self.proj_out = nn.Conv2d(2 * channels + BUFFERS["Depth"], channels, 1)

    def forward(self, x: Tensor, before: Tensor | None, guides: Guides) -> Tensor:
        memory = x if before is None else sample_points(guides.motion.movedim(1, -1)[..., None, :]).gather_sum(before)
        query, passed = self.to_q(x).chunk(2, dim=1)
        key, value = self.to_kv(memory).chunk(2, dim=1)
        weight = self.proj_out.weight.flatten(1)
        found, rest = weight[:, : x.shape[1]], weight[:, x.shape[1] :]
        # Attention mixes channels alike at every pixel, as the projection after it does: both are one small matrix.
        mixing = found.unflatten(1, (HEADS, -1)).movedim(1, 0).float() @ _cosine_attention(query, key)
        mixing = mixing.movedim(1, 2).flatten(2).mT.to(value.dtype)  # (B, 2 C, C)
        other = F.conv2d(torch.cat([passed, guides.depth], 1), rest[..., None, None], self.proj_out.bias)
        pixels = value.movedim(1, -1).flatten(1, 2) @ mixing
        return other + pixels.unflatten(1, x.shape[2:]).movedim(-1, 1)


def _cosine_attention(query: Tensor, key: Tensor) -> Tensor:
    """How much every channel of (B, C, h, w) looks like those of (B, 2 C, h, w): (B, heads, C / heads, 2 C / heads).

    Sums over all pixels of a picture leave the range of half precision: they are counted in single.
    """
    query, key = query.float(), key.float()
    lengths = [part.square().sum((2, 3)).clamp(min=1e-24).sqrt().unflatten(1, (HEADS, -1)) for part in (query, key)]
    query, key = (part.flatten(2).unflatten(1, (HEADS, -1)) for part in (query, key))
    cosines = query @ key.transpose(-2, -1) / (lengths[0][..., :, None] * lengths[1][..., None, :])
    return (cosines + 1e-7).softmax(-1)


class DecoderBlock(nn.Module):
    """Features, the frame's buffers, and the features of the frame before; on the way back to the full size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hfb, self.ctr, self.ffn = HybridFusion(channels), CrossFrameAttention(channels), FeedForward(channels)

    def forward(self, x: Tensor, before: Tensor | None, guides: Guides) -> Tensor:
        x = x + self.hfb(x, guides.surface)
        x = x + self.ctr(x, before, guides)
        return x + self.ffn(x)


class UpsampleBlock(nn.Module):
    """To twice the size, and to fewer channels."""

    def __init__(self, channels: int, fewer: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, fewer, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
