"""What a whole run would make of one place, beside the input and its plain enlargement."""

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
    """One place, a few frames: three clips of the same size, (T, h, w, 3) in [0, 1]."""

    original: Tensor
    """The input, every pixel as a square."""
    bicubic: Tensor
    result: Tensor

    def beside(self) -> Tensor:
        """The three next to one another."""
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
    """Decode, refine and back-project one place as a whole run does.

    Args:
        latent: (1, C, t, h, w) canvas in which the patches in focus were denoised.
        source: (T, h, w, 3) input clip.
        settings: of what comes after the model.
        refine: as in :func:`stages.finished`, with a ``region``; it looks ``reach_frames`` before and after.
        degradation: of the whole clip, see :func:`finish.degradation.estimate_degradation`.
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
    original, bicubic, finished = (clip[:, rows, columns].contiguous() for clip in clips)
    return PatchPreview(original, bicubic, finished)


def upsample_nearest(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarged without any interpolation."""
    y, x = (
        ((2 * torch.arange(length, device=frames.device) + 1) * side // (2 * length)).clamp(max=side - 1)
        for length, side in zip(size, frames.shape[1:3], strict=True)
    )
    return frames[:, y][:, :, x]
