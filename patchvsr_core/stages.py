"""What is done before and after denoising, the same in every host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from .blend import blend_tiles
from .codec import Codec
from .color import match_colors
from .conditional import ConditionalDecoder
from .decode import InputCondition, decode_tiles
from .encode import encode_canvas
from .fidelity import AGREED, back_project
from .layout import Canvas, PatchPlan
from .planner import plan_patches
from .propagation.attention_options import AttentionOptions, parse_layers
from .propagation.canvas import PropagationOptions
from .realtime.fast import load_fast
from .refine import Refiner
from .settings import BICUBIC, Settings

OnProgress = Callable[[str, int, int], None]
"""Called with (stage, done, in all); raise from it to stop."""
Noise = Callable[[torch.Size], Tensor]
"""Asked for normal noise in the shape of the latent canvas."""
Refine = Callable[..., Tensor]
"""(frames, source) to refined frames; takes the choices of :func:`refine.refine_frames`."""


class Parts(Protocol):
    """What planning and memory depend on, of the models of any host."""

    @property
    def codec(self) -> Codec:
        """Pixels to latents and back."""

    @property
    def refiner(self) -> Refiner | None:
        """What runs after decoding."""

    @property
    def device(self) -> torch.device:
        """Where the work is done."""


def make_plan(
    frames: int, source: tuple[int, int], target: tuple[int, int], models: Parts, settings: Settings
) -> PatchPlan:
    """Plan a run for the codec of ``models``; sizes are (height, width)."""
    codec = models.codec
    canvas = Canvas(frames, source, target, codec.stride_px, codec.stride_frames)
    return plan_patches(
        canvas,
        patch_px=settings.patch_px,
        layout=settings.layout,
        window_frames=settings.window_frames,
        overlap_frames=settings.overlap_frames,
    )


def encoded_canvas(frames: Tensor, canvas: Canvas, codec: Codec, settings: Settings, report: OnProgress) -> Tensor:
    """The enlarged input on the canvas, (1, C, t, h, w)."""
    return encode_canvas(
        codec,
        frames,
        canvas,
        base=_base_layer(frames, canvas, settings, report),
        tile_px=settings.tile_px,
        overlap_px=settings.tile_overlap_px,
        on_tile=lambda done, total: report("encode", done, total),
    )


def _base_layer(frames: Tensor, canvas: Canvas, settings: Settings, report: OnProgress) -> Tensor | None:
    """What a real-time network makes of the clip; None: bicubic."""
    if settings.base_layer == BICUBIC:
        return None
    network = load_fast(settings.base_layer, device=str(frames.device))
    size = tuple(min(4 * side, most) for side, most in zip(canvas.source, canvas.target, strict=True))
    return network.upscale(frames, (size[0], size[1]), on_frame=lambda done, total: report("base", done, total))


def attention_options(settings: Settings) -> AttentionOptions:
    """What the settings say about patches that look at one another."""
    return AttentionOptions(
        spatial=settings.spatial_attention,
        temporal=settings.temporal_attention,
        lazy=settings.lazy_attention,
        layers=parse_layers(settings.attention_layers),
        offload=settings.attention_offload,
        softening=(1.0, settings.softening),
    )


def propagation_options(settings: Settings) -> PropagationOptions | None:
    """What the settings say about propagation along the motion; None: there is none."""
    if settings.propagation == 0:
        return None
    return PropagationOptions(settings.propagation, settings.propagation_start, settings.propagation_end)


def decoded_frames(
    latent: Tensor,
    source: Tensor,
    canvas: Canvas,
    codec: Codec,
    settings: Settings,
    report: OnProgress,
    decoder: ConditionalDecoder | None = None,
) -> Tensor:
    """The fused canvas as frames, (T, H, W, 3) in [0, 1], in the colours of the input.

    Args:
        decoder: lets the input modulate the VAE's decoder.
    """
    tiles = decode_tiles(
        codec,
        latent,
        canvas,
        tile_px=settings.tile_px,
        overlap_px=settings.tile_overlap_px,
        condition=None if decoder is None else InputCondition(decoder, source),
        on_tile=lambda done, total: report("decode", done, total),
    )
    blended = blend_tiles(tiles, window=settings.window)
    del tiles
    return match_colors(blended, source, settings.color).clamp_(0, 1)


def finished(
    frames: Tensor, source: Tensor, settings: Settings, report: OnProgress, refine: Refine | None, damage: float
) -> Tensor:
    """The refiner, and what makes the result agree with the input; (T, H, W, 3) in [0, 1].

    Args:
        frames: decoded; given away, they may be changed.
        damage: measured in the input, see :func:`damage.measured_damage`.
    """
    if refine is not None and settings.refine_strength > 0:
        report("refine", 0, len(frames))
        frames = refine(
            frames,
            source,
            strength=settings.refine_strength,
            detail=settings.detail,
            damage=damage,
            on_frames=lambda done, total: report("refine", done, total),
        )
    return back_project(
        frames,
        source,
        rounds=settings.fidelity_rounds,
        strength=settings.fidelity_strength,
        damage=damage,
        agreed=AGREED if settings.cleanup else 0.0,
        on_frames=lambda done, total: report("fidelity", done, total),
    ).clamp_(0, 1)
