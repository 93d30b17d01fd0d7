"""RDG: online 4x super-resolution of rendered video, guided by G-buffers.

Source: RDG (CVPR 2025). Module names are those of the published checkpoints, which load strictly.
The recurrent state is the decoder's features of the previous frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import ModelError
from ..errors.finite import mark_source
from ..files import SAFETENSORS, check_weights, explain_read_errors, fill_module, read_checkpoint, read_metadata
from ..plan.target_size import SCALE
from .rdg_blocks import HEADS, DecoderBlock, EncoderBlock, Guides, UpsampleBlock

MOST_CHANNELS = 1024
MULTIPLE = 4
"""Sides of the input are padded to multiples of this."""

CHOICES = ("scaled_motion", "residual")
"""How a network differs from the published ones; stored in the metadata of its file."""
Buffers = Mapping[str, Tensor]
Memory = Sequence[Tensor]
"""Features of the previous frame at the three scales, the smallest first."""


def save_rdg(network: RDG, path: str | Path) -> None:
    """Write a network under the names of the published checkpoints, in half precision."""
    tensors = {name: tensor.detach().half().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, str(path), metadata={name: str(getattr(network, name)).lower() for name in CHOICES})


def load_rdg(path: str | Path, *, scaled_motion: bool | None = None) -> RDG:
    """Load a network from a file in the layout of the published checkpoints, of any width.

    Args:
        scaled_motion: see :class:`RDG`; None to use the file's metadata, or False for published ones, which have none.

    Raises:
        ModelError: when the file is missing, damaged or not an RDG network.
    """
    path = Path(path)
    state = read_checkpoint(path, "RDG", within=("params_ema", "params"))
    if "first_conv.weight" not in state:
        raise ModelError(
            f"{path.name} is not an RDG network; choose RDG_Small, RDG_Base or one made by PatchVSR's trainer."
        )
    written = read_metadata(path) if path.suffix.lower() in SAFETENSORS else {}
    choices = {name: written.get(name) == "true" for name in CHOICES}
    is_published = not any(name in written for name in CHOICES)
    if scaled_motion is not None:
        choices["scaled_motion"] = scaled_motion
    with explain_read_errors(path):
        check_weights(state)
        channels = len(state["first_conv.weight"])
    try:
        if channels % HEADS or not 0 < channels <= MOST_CHANNELS:
            raise ValueError(f"{channels} channels")
        network = mark_source(fill_module(lambda: RDG(channels, published=is_published, **choices), state), path)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"The tensors in {path.name} do not fit an RDG network; download it again.") from error
    return network.requires_grad_(False).eval()


class RDG(nn.Module):
    """The network; 16 channels (RDG-s, 303,680 parameters) or 36 (1,473,600).

    Args:
        channels: at full input resolution; twice and three times as many at the lower ones. A multiple of 4.
        scaled_motion: scale motion vectors with the resolution of every level. The published weights were trained
            without: motion is resized like an image and keeps its values.
        residual: predict a residual over the bicubically upsampled frame, which makes training ten times as fast. The
            published weights predict the frame itself.
        published: its buffers are those of the published weights, see :func:`gbuffers.make_gbuffers`.
    """

    def __init__(
        self, channels: int = 16, *, scaled_motion: bool = False, residual: bool = False, published: bool = False
    ) -> None:
        super().__init__()
        self.channels, self.scaled_motion, self.residual = channels, scaled_motion, residual
        self.published = published
        sizes = (channels, 2 * channels)
        self.first_conv = nn.Conv2d(3, channels, 3, padding=1)
        self.encoders = nn.ModuleList(nn.Sequential(EncoderBlock(size)) for size in sizes)
        self.downs = nn.ModuleList(nn.Conv2d(size, size + channels, 3, stride=2, padding=1) for size in sizes)
        self.middle_encoders = nn.Sequential(EncoderBlock(3 * channels))
        self.middle_decoders = DecoderBlock(3 * channels)
        self.ups = nn.ModuleList(UpsampleBlock(size + channels, size) for size in sizes[::-1])
        self.decoders = nn.ModuleList(DecoderBlock(size) for size in sizes[::-1])
        self.skip_alphas = nn.ParameterList(torch.zeros(1, size, 1, 1) for size in sizes)
        self.UpSample = nn.Sequential(nn.Conv2d(channels, 3 * SCALE**2, 3, padding=1), nn.PixelShuffle(SCALE))

    def forward(self, clip: Buffers) -> Tensor:
        """Upscale a clip.

        Args:
            clip: ``Image`` (B, T, 3, h, w) in [0, 1]; ``Motion`` (B, T, 2, h, w) in input pixels, where entry i - 1
                is from frame i to the previous one; ``Depth`` (1 channel), ``Normal`` (3) and ``BRDF`` (3).

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
            buffers: as in :meth:`forward`, without T; ``Motion`` is from this frame to the previous one. float32
                even for a half-precision network, as half cannot represent pixel positions.
            memory: returned by the previous step; None at the beginning of a shot.

        Returns:
            ((B, 3, 4 h, 4 w) frame in the dtype of the input, memory for the next step).
        """
        image, dtype = buffers["Image"], self.first_conv.weight.dtype
        height, width = image.shape[-2:]
        padded = Guides(
            _pad(buffers["Motion"].float()),
            _pad(buffers["Depth"].to(dtype)),
            _pad(torch.cat([buffers["Normal"], buffers["BRDF"]], 1).to(dtype)),
        )
        first = self.first_conv(_pad(image.to(dtype)))
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

    def _guides(self, full: Guides, x: Tensor) -> Guides:
        size = (x.shape[-2], x.shape[-1])
        if size == full.depth.shape[-2:]:
            return full
        motion, depth, surface = (
            F.interpolate(values, size=size, mode="bilinear", align_corners=False)
            for values in (full.motion, full.depth, full.surface)
        )
        if self.scaled_motion:
            motion = motion * (size[1] / full.motion.shape[-1])
        return Guides(motion, depth, surface)


def _pad(values: Tensor) -> Tensor:
    height, width = values.shape[-2:]
    padding = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
    return F.pad(values, padding) if any(padding) else values
