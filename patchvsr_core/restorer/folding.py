"""Large pictures folded to the size of the input: the 4 x 4 pixels of an input pixel become channels.

Equal to torch's pixel shuffle and bicubic interpolation, and several times as fast on a CPU with the channels last in
memory, as convolutions there give and take them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..plan.target_size import SCALE
from ..resample.folded import REACH_PX, bicubic_taps


def unfold(folded: Tensor) -> Tensor:
    """(N, C * 16, h, w) to (N, C, 4 h, 4 w)."""
    pixels = folded.movedim(1, -1)
    if not pixels.is_contiguous() or not _moves_rows(folded):
        return F.pixel_shuffle(folded, SCALE)
    count, height, width, channels = pixels.shape
    rows = pixels.view(count, height, width, channels // SCALE**2, SCALE, SCALE).view(torch.complex128)[..., 0]
    large = rows.permute(0, 3, 1, 4, 2).contiguous()[..., None].view(torch.float32)
    return large.view(count, channels // SCALE**2, SCALE * height, SCALE * width)


def fold(large: Tensor) -> Tensor:
    """(N, C, 4 h, 4 w) to (N, C * 16, h, w), channels last in memory where that is the faster way."""
    if not large.is_contiguous() or not _moves_rows(large):
        return F.pixel_unshuffle(large, SCALE)
    count, channels, height, width = large.shape
    height, width = height // SCALE, width // SCALE
    rows = large.view(count, channels, height, SCALE, width, SCALE).view(torch.complex128)[..., 0]
    pixels = rows.permute(0, 2, 4, 1, 3).contiguous()[..., None].view(torch.float32)
    return pixels.view(count, height, width, channels * SCALE**2).movedim(-1, 1)


def _moves_rows(x: Tensor) -> bool:
    """Whether four neighbours are moved as one number of 16 bytes."""
    return x.dtype == torch.float32 and x.device.type == "cpu" and not x.requires_grad


def folded_bicubic(frames: Tensor, channels: int) -> Tensor:
    """Bicubic upsampling by 4, folded.

    Args:
        frames: (N, 3, h, w) float32.
        channels: of the result; those beyond the picture's are 0.

    Returns:
        (N, channels * 16, h, w) float32, channels last in memory.
    """
    count, colours, height, width = frames.shape
    padded = F.pad(frames, (REACH_PX,) * 4, mode="replicate").contiguous(memory_format=torch.channels_last)
    taps = bicubic_taps().float().to(frames.device).repeat(colours, 1, 1, 1)
    folded = F.conv2d(padded, taps, groups=colours)
    beyond = folded.new_zeros(count, (channels - colours) * SCALE**2, height, width)
    return torch.cat([folded, beyond], 1).contiguous(memory_format=torch.channels_last)
