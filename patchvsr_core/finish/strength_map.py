"""Strength maps: how far the result may depart from the upsampled input at every pixel, to protect faces or text.

A strength of 0 keeps the base layer, 1 keeps the result, 2 doubles the difference between them. It is applied to the
final result and not at every step, so protecting a region does not affect what lies outside it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import PlanError
from ..plan.canvas import Canvas
from ..resample import frames_per_batch, resize
from ..vae.codec import Codec, check_codec

MAX_STRENGTH = 2.0
SNAP_DISTANCE = 1.1 / 255
"""Values this close to black or white are snapped to them: ComfyUI loads white of a greyscale image as 0.996."""


@dataclass(frozen=True, eq=False)
class StrengthMap:
    """A global strength, and optionally one per pixel.

    Raises:
        PlanError: for a value out of range, or a map of the wrong shape.
    """

    fidelity: float = 0.0
    """0 keeps the result, 1 gives the upsampled input, -1 doubles the difference between them."""
    map: Tensor | None = None
    """(1 or T, h, w) of any size: 0 keeps the upsampled input, 1 stands for ``white``."""
    white: float = 1.0
    """Strength that the value 1 of the map stands for, 0 to 2."""

    def __post_init__(self) -> None:
        if not -1 <= self.fidelity <= 1:
            raise PlanError(f"Fidelity is {self.fidelity}; it must be between -1 and 1.")
        if not 0 <= self.white <= MAX_STRENGTH:
            raise PlanError(
                f"White of the strength map stands for {self.white}; it must lie between 0 and {MAX_STRENGTH:g}."
            )
        if self.map is not None and (self.map.ndim != 3 or not self.map.numel()):
            raise PlanError(
                f"The strength map has shape {tuple(self.map.shape)}; give one mask for all frames, or one "
                "for each frame."
            )

    @property
    def digest(self) -> str:
        """SHA-256 of the values, to compare strength maps by."""
        data = b"" if self.map is None else self.map.float().contiguous().cpu().numpy().tobytes()
        shape = () if self.map is None else tuple(self.map.shape)
        return hashlib.sha256(f"{self.fidelity} {self.white} {shape}".encode() + data).hexdigest()

    @property
    def is_static(self) -> bool:
        """Whether all frames have the same strength."""
        return self.map is None or len(self.map) == 1

    @property
    def has_effect(self) -> bool:
        """Whether applying it would change the result."""
        return self.fidelity != 0 or (
            self.map is not None and not bool((_snap_extremes(self.map) * self.white == 1).all())
        )

    def for_frames(self, frames: int, size: tuple[int, int], chosen: slice = slice(None)) -> Tensor:
        """Strength per pixel, (1 or chosen frames, height, width) in [0, 2].

        Args:
            frames: length of the whole clip.
            size: (height, width) that the map is resized to, bilinearly.
            chosen: the frames to return.

        Raises:
            PlanError: when the map has another number of frames than the clip.
        """
        everywhere = 1 - self.fidelity
        if self.map is None:
            return torch.full((1, *size), everywhere)
        if len(self.map) not in (1, frames):
            raise PlanError(
                f"The strength map has {len(self.map)} frames but the clip has {frames}; give one mask for all frames, "
                "or one for each frame."
            )
        part = self.map if self.is_static else self.map[chosen]
        weight = _snap_extremes(part)
        if weight.shape[1:] != size:
            weight = F.interpolate(weight[:, None], size=size, mode="bilinear", antialias=True)[:, 0]
        return (weight * (self.white * everywhere)).clamp(0, MAX_STRENGTH)

    def for_latent(self, codec: Codec, canvas: Canvas) -> Tensor:
        """Strength per latent cell, broadcastable to (1, C, t, h, w).

        Exact per pixel for the lossless codec; for a VAE the mean over the pixels and frames of a cell.

        Raises:
            PlanError: when the map has another number of frames than the clip, or the codec does not fit the plan.
        """
        check_codec(codec, canvas)
        weight = self.for_frames(canvas.frames, canvas.target)
        height, width = canvas.padded_px
        missing = (0, width - canvas.target[1], 0, height - canvas.target[0])
        weight = F.pad(weight[:, None], missing, mode="replicate")[:, 0]
        if codec.is_lossless:
            return (codec.encode(weight[..., None].expand(-1, -1, -1, 3)) + 1) / 2
        cells = F.avg_pool2d(weight[:, None], canvas.stride_px)[:, 0]
        if len(cells) > 1:
            cells = _average_over_time(cells, canvas)
        return cells[None, None]


def blend_with_base(base: Tensor, result: Tensor, weight: Tensor) -> Tensor:
    """Linear blend: exactly ``base`` at weight 0 and exactly ``result`` at 1; weights above 1 extrapolate."""
    return torch.lerp(base, result, weight.to(result))


def apply_strength_map(frames: Tensor, base: Tensor, strength: StrengthMap) -> Tensor:
    """Blend frames with the base layer according to a strength map.

    Args:
        frames: (T, H, W, 3) in [0, 1]; not changed.
        base: (T, h, w, 3) base layer or input clip in [0, 1], upsampled bicubically if it is smaller.

    Returns:
        (T, H, W, 3) in [0, 1].
    """
    size = (int(frames.shape[1]), int(frames.shape[2]))
    out, together = torch.empty_like(frames), frames_per_batch(size)
    still = strength.for_frames(len(frames), size).to(frames) if strength.is_static else None
    for start in range(0, len(frames), together):
        chunk = slice(start, min(start + together, len(frames)))
        weight = strength.for_frames(len(frames), size, chunk).to(frames) if still is None else still
        upsampled = resize(base[chunk], size).clamp(0, 1).to(frames)
        out[chunk] = blend_with_base(upsampled, frames[chunk], weight[..., None]).clamp(0, 1)
    return out


def _snap_extremes(values: Tensor) -> Tensor:
    """Snap values close to 0 and 1."""
    values = values.float().clamp(0, 1)
    return torch.where(values > 1 - SNAP_DISTANCE, 1.0, torch.where(values < SNAP_DISTANCE, 0.0, values))


def _average_over_time(cells: Tensor, canvas: Canvas) -> Tensor:
    """(T, h, w) frames to (t, h, w) latent frames by averaging; the last frame is repeated as padding."""
    index = torch.arange(canvas.padded_frames).clamp(max=canvas.frames - 1)
    rest = cells[index[1:]].unflatten(0, (-1, canvas.stride_frames)).mean(1)
    return torch.cat([cells[:1], rest])
