"""RDG: upscaling of rendered video by 4, guided by G-buffers, one frame after the other.

Source: RDG (CVPR 2025). Module names are those of the published checkpoints, which load strictly.
Every frame sees itself, its buffers and what the network remembers of the frame before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import ModelError
from ..files import read_checkpoint, read_metadata
from .deformable_gather import sample_points

SCALE = 4
HEADS = 4
REACH = 3
"""Pixels to either side that a cycle of channels reads."""
CYCLE = 2 * REACH + 1
"""Channels in it."""
MULTIPLE = 4
"""Sides of the input are padded to multiples of it."""
BUFFERS = {"Motion": 2, "Depth": 1, "Normal": 3, "BRDF": 3}
"""Channels of the G-buffers."""

CHOICES = ("scaled_motion", "residual")
"""How a network differs from the published ones; what the metadata of its file says."""
Buffers = Mapping[str, Tensor]
Memory = Sequence[Tensor]
"""Features of the frame before at the three sizes, the smallest first."""


def save_rdg(network: RDG, path: str | Path) -> None:
    """Write a network under the names of the published checkpoints, in half precision."""
    tensors = {name: tensor.detach().half().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, str(path), metadata={name: str(getattr(network, name)).lower() for name in CHOICES})


def load_rdg(path: str | Path, *, scaled_motion: bool | None = None) -> RDG:
    """A network from a file in the layout of the published checkpoints, of any width.

    Args:
        scaled_motion: see :class:`RDG`; None: as the file says, and False for the published ones, which do not.

    Raises:
        ModelError: in one sentence, what is wrong with the file.
    """
    path = Path(path)
    state = read_checkpoint(path, "RDG")
    state = next((state[name] for name in ("params_ema", "params") if name in state), state)
    if "first_conv.weight" not in state:
        raise ModelError(f"{path.name} holds no RDG network; choose RDG_Small, RDG_Base or one of our trainer's.")
    state = {name: values.float() for name, values in state.items()}
    written = read_metadata(path) if path.suffix == ".safetensors" else {}
    choices = {name: written.get(name) == "true" for name in CHOICES}
    if scaled_motion is not None:
        choices["scaled_motion"] = scaled_motion
    network = RDG(len(state["first_conv.weight"]), **choices)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"The tensors in {path.name} are not those of an RDG network; get it again.") from error
    return network.requires_grad_(False).eval()


@dataclass(frozen=True)
class _Guides:
    """The G-buffers of one frame at one size."""

    motion: Tensor
    depth: Tensor
    surface: Tensor
    """Normal and BRDF."""


class RDG(nn.Module):
    """The network; 16 channels (RDG-s, 303,680 parameters) or 36 (1,473,600).

    Args:
        channels: at full input resolution; twice and three times as many at the smaller sizes. A multiple of 4.
        scaled_motion: count motion in cells of every size. The published weights were trained without: motion is
            shrunk like a picture and keeps its values.
        residual: what the network makes is added to the bicubically enlarged frame, which makes training ten times as
            quick. The published weights make the frame itself.
    """

    def __init__(self, channels: int = 16, *, scaled_motion: bool = False, residual: bool = False) -> None:
        super().__init__()
        self.channels, self.scaled_motion, self.residual = channels, scaled_motion, residual
        sizes = (channels, 2 * channels)
        self.first_conv = nn.Conv2d(3, channels, 3, padding=1)
        self.encoders = nn.ModuleList(nn.Sequential(_Encoder(size)) for size in sizes)
        self.downs = nn.ModuleList(nn.Conv2d(size, size + channels, 3, stride=2, padding=1) for size in sizes)
        self.middle_encoders = nn.Sequential(_Encoder(3 * channels))
        self.middle_decoders = _Decoder(3 * channels)
        self.ups = nn.ModuleList(_Up(size + channels, size) for size in sizes[::-1])
        self.decoders = nn.ModuleList(_Decoder(size) for size in sizes[::-1])
        self.skip_alphas = nn.ParameterList(torch.zeros(1, size, 1, 1) for size in sizes)
        self.UpSample = nn.Sequential(nn.Conv2d(channels, 3 * SCALE**2, 3, padding=1), nn.PixelShuffle(SCALE))

    def forward(self, clip: Buffers) -> Tensor:
        """Upscale a clip.

        Args:
            clip: ``Image`` (B, T, 3, h, w) in [0, 1]; ``Motion`` (B, T, 2, h, w) in input pixels, where entry i - 1
                leads from frame i to the one before; ``Depth`` (1 channel), ``Normal`` (3) and ``BRDF`` (3).

        Returns:
            (B, T, 3, 4 h, 4 w).
        """
        memory: Memory | None = None
        frames = []
        for index in range(clip["Image"].shape[1]):
            buffers = {name: values[:, index] for name, values in clip.items()}
            buffers["Motion"] = clip["Motion"][:, max(index - 1, 0)]
            frame, memory = self.step(buffers, memory)
            frames.append(frame)
        return torch.stack(frames, dim=1)

    def step(self, buffers: Buffers, memory: Memory | None) -> tuple[Tensor, list[Tensor]]:
        """Upscale the next frame of a stream.

        Args:
            buffers: as in :meth:`forward`, without T; ``Motion`` leads from this frame to the one before. Single
                precision also for a network in half: it cannot tell positions apart.
            memory: what the step before answered; None at the beginning of a shot.

        Returns:
            ((B, 3, 4 h, 4 w) frame in the precision of the input, memory for the next step).
        """
        image, dtype = buffers["Image"], self.first_conv.weight.dtype
        height, width = image.shape[-2:]
        padded = _Guides(
            _padded(buffers["Motion"].float()),
            _padded(buffers["Depth"].to(dtype)),
            _padded(torch.cat([buffers["Normal"], buffers["BRDF"]], 1).to(dtype)),
        )
        first = self.first_conv(_padded(image.to(dtype)))
        x, skips = first, []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle_encoders(x)
        before: list[Tensor | None] = [None] * 3 if memory is None else list(memory)
        x = self.middle_decoders(x, before[0], self._guides(padded, x))
        kept = [x]
        for level, (up, decoder) in enumerate(zip(self.ups, self.decoders, strict=True)):
            skip = len(skips) - 1 - level
            x = up(x) + self.skip_alphas[skip] * skips[skip]
            x = decoder(x, before[level + 1], self._guides(padded, x))
            kept.append(x)
        made = self.UpSample((x + first)[..., :height, :width]).to(image.dtype)
        if self.residual:
            made = made + F.interpolate(image, scale_factor=SCALE, mode="bicubic", align_corners=False)
        return made, kept

    def _guides(self, full: _Guides, x: Tensor) -> _Guides:
        size = (x.shape[-2], x.shape[-1])
        if size == full.depth.shape[-2:]:
            return full
        motion, depth, surface = (
            F.interpolate(values, size=size, mode="bilinear", align_corners=False)
            for values in (full.motion, full.depth, full.surface)
        )
        if self.scaled_motion:
            motion = motion * (size[1] / full.motion.shape[-1])
        return _Guides(motion, depth, surface)


def _padded(values: Tensor) -> Tensor:
    height, width = values.shape[-2:]
    padding = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
    return F.pad(values, padding) if any(padding) else values


class _Cycle(nn.Module):
    """A 1 x 1 convolution that reads its input channels beside one another along one axis, in cycles of seven."""

    def __init__(self, channels: int, *, across: bool) -> None:
        super().__init__()
        self.across = across
        self.weight = nn.Parameter(torch.empty(channels, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        shifts = (torch.arange(channels) + REACH) % CYCLE - REACH
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


class _Sampling(nn.Module):
    """Dynamic feature modulation: far neighbours through cyclic shifts, gated by near ones."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.proj_in = nn.Sequential(nn.Conv2d(channels, wide, 3, padding=1, groups=channels), nn.Conv2d(wide, wide, 1))
        self.mlp_h, self.mlp_w = _Cycle(channels, across=True), _Cycle(channels, across=False)
        self.merge, self.proj_out = nn.Conv2d(wide, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate, far = self.proj_in(x).chunk(2, dim=1)
        far = self.mlp_w(self.mlp_h(far))
        return self.proj_out(F.gelu(gate) * self.merge(torch.cat([x, far], 1)))


class _Mixing(nn.Module):
    """Channel mixing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fn = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.GELU(), nn.Conv2d(2 * channels, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x)


class _Encoder(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dfm, self.ffn = _Sampling(channels), _Mixing(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dfm(x)
        return x + self.ffn(x)


class _Surface(nn.Module):
    """Hybrid fusion: features and the buffers of the surface gate one another."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_g = nn.Conv2d(BUFFERS["Normal"] + BUFFERS["BRDF"], channels, 3, padding=1)
        self.conv_x = nn.Conv2d(channels, channels, 3, padding=1)
        self.proj_out = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor, surface: Tensor) -> Tensor:
        a, b = self.conv_x(x), self.conv_g(surface)
        return self.proj_out(torch.cat([a * F.gelu(b), b * F.gelu(a)], 1))


class _Recall(nn.Module):
    """Cross-frame attention over channels: to the memory of the frame before, fetched along the motion."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1, 1, channels // HEADS, 2 * channels // HEADS))  # in the files; unused
        self.to_q, self.to_kv = (
            nn.Sequential(nn.Conv2d(channels, wide, 1), nn.Conv2d(wide, wide, 3, padding=1, groups=wide))
            for wide in (2 * channels, 4 * channels)
        )
        self.proj_out = nn.Conv2d(2 * channels + BUFFERS["Depth"], channels, 1)

    def forward(self, x: Tensor, before: Tensor | None, guides: _Guides) -> Tensor:
        memory = x if before is None else sample_points(guides.motion.movedim(1, -1)[..., None, :]).gather_sum(before)
        query, passed = self.to_q(x).chunk(2, dim=1)
        key, value = self.to_kv(memory).chunk(2, dim=1)
        weight = self.proj_out.weight.flatten(1)
        found, rest = weight[:, : x.shape[1]], weight[:, x.shape[1] :]
        # Attention mixes channels alike at every pixel, as the projection after it does: both are one small matrix.
        mixing = found.unflatten(1, (HEADS, -1)).movedim(1, 0).float() @ _likeness(query, key)
        mixing = mixing.movedim(1, 2).flatten(2).mT.to(value.dtype)  # (B, 2 C, C)
        other = F.conv2d(torch.cat([passed, guides.depth], 1), rest[..., None, None], self.proj_out.bias)
        pixels = value.movedim(1, -1).flatten(1, 2) @ mixing
        return other + pixels.unflatten(1, x.shape[2:]).movedim(-1, 1)


def _likeness(query: Tensor, key: Tensor) -> Tensor:
    """How much every channel of (B, C, h, w) looks like those of (B, 2 C, h, w): (B, heads, C / heads, 2 C / heads).

    Sums over all pixels of a picture leave the range of half precision: they are counted in single.
    """
    query, key = query.float(), key.float()
    lengths = [part.square().sum((2, 3)).clamp(min=1e-24).sqrt().unflatten(1, (HEADS, -1)) for part in (query, key)]
    query, key = (part.flatten(2).unflatten(1, (HEADS, -1)) for part in (query, key))
    cosines = query @ key.transpose(-2, -1) / (lengths[0][..., :, None] * lengths[1][..., None, :])
    return (cosines + 1e-7).softmax(-1)


class _Decoder(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hfb, self.ctr, self.ffn = _Surface(channels), _Recall(channels), _Mixing(channels)

    def forward(self, x: Tensor, before: Tensor | None, guides: _Guides) -> Tensor:
        x = x + self.hfb(x, guides.surface)
        x = x + self.ctr(x, before, guides)
        return x + self.ffn(x)


class _Up(nn.Module):
    def __init__(self, channels: int, fewer: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, fewer, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
