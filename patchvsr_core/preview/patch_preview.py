"""Previews one patch at final quality, side by side with the input and bicubic."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..finish.color_fix import match_colors
from ..plan.canvas import PatchPlan
from ..resample import resize
from ..settings import Settings
from ..stages import Refine, back_project_onto_input
from ..vae.codec import Codec
from .compare import Version, side_by_side
from .region import PreviewRegion, decode_region


@dataclass(frozen=True, eq=False)
class PatchPreview:
    """One patch of a few frames: three clips of the same size, (T, h, w, 3) in [0, 1]."""

    original: Tensor
    """The input, upsampled by nearest neighbour."""
    bicubic: Tensor
    result: Tensor

    def side_by_side(self) -> Tensor:
        """Compose the three clips side by side."""
        names = ("input", "bicubic", "PatchVSR")
        clips = (self.original, self.bicubic, self.result)
        return side_by_side([Version(name, clip) for name, clip in zip(names, clips, strict=True)])


def preview_patch(
    latent: Tensor,
    source: Tensor,
    plan: PatchPlan,
    codec: Codec,
    focus: PreviewRegion,
    settings: Settings,
    *,
    refine: Refine,
    reach_frames: int,
    degradation: float,
) -> PatchPreview:
    """Decode, refine and back-project one patch as a full run does.

    Args:
        latent: (1, C, t, h, w) canvas in which the patches of the region were denoised.
        source: (T, h, w, 3) input clip.
        settings: for decoding and postprocessing.
        refine: as in :func:`stages.postprocess`, with a ``region``; its temporal reach is ``reach_frames``.
        degradation: level of the whole clip, see :func:`degradation.estimate_degradation`.
    """
    needed = focus.with_margin(reach_frames, len(source))
    around = source[needed.start : needed.stop]
    upsampled = resize(around.float(), plan.canvas.target).clamp(0, 1)
    frames = decode_region(codec, latent, upsampled, plan.canvas, focus.region, needed)
    frames = match_colors(frames, around, settings.color).clamp(0, 1)
    if settings.refine_strength > 0:
        frames = refine(
            frames,
            around,
            strength=settings.refine_strength,
            detail=settings.detail,
            degradation=degradation,
            region=focus.region,
        )
    shown = slice(focus.frames.start - needed.start, focus.frames.stop - needed.start)
    result = back_project_onto_input(frames[shown], around[shown], settings, degradation).clamp(0, 1)
    rows, columns = focus.region
    clips = (upsample_nearest(around[shown], plan.canvas.target), upsampled[shown], result)
    original, bicubic, result = (clip[:, rows, columns].contiguous() for clip in clips)
    return PatchPreview(original, bicubic, result)


def upsample_nearest(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Upsample (T, h, w, C) frames to (height, width) by nearest neighbour."""
    y, x = (
        ((2 * torch.arange(length, device=frames.device) + 1) * side // (2 * length)).clamp(max=side - 1)
        for length, side in zip(size, frames.shape[1:3], strict=True)
    )
    return frames[:, y][:, :, x]
