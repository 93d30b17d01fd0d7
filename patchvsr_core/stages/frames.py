"""What is done with frames before and after denoising."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..distributed import current_group
from ..finish.back_projection import TOLERANCE, back_project
from ..finish.base_layer import blend_base_layer, make_base_layer, starts_from_base
from ..finish.color_fix import match_colors
from ..plan.canvas import Canvas
from ..progress import OnDone, OnProgress
from ..resample import resize
from ..settings import Settings
from ..vae.codec import Codec
from ..vae.conditional_decoder import ConditionalDecoder
from ..vae.decode import InputCondition, blend_tiles, decode_tiles
from ..vae.encode import encode_canvas

Refine = Callable[..., Tensor]
"""(frames, source) to refined frames; takes the choices of :func:`finish.refine.refine_frames`."""


def encode_input(frames: Tensor, canvas: Canvas, codec: Codec, settings: Settings, report: OnProgress) -> Tensor:
    """The latent of the upsampled LR input on the canvas, (1, C, t, h, w)."""
    base = _base_layer(frames, canvas.target, settings, report) if starts_from_base(codec) else None
    return encode_canvas(
        codec,
        frames,
        canvas,
        base=base,
        tile_px=settings.tile_px,
        overlap_px=settings.tile_overlap_px,
        on_tile=lambda done, total: report("encode", done, total),
    )


def decode_frames(
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
    return match_colors(blended, source[current_group().frame_span(canvas.frames)], settings.color).clamp_(0, 1)


def postprocess(
    frames: Tensor,
    source: Tensor,
    settings: Settings,
    report: OnProgress,
    codec: Codec,
    refine: Refine | None,
    degradation: float,
) -> Tensor:
    """The refiner, the base layer where it joins at the end, and what makes the result agree with the input.

    Args:
        frames: decoded, this process's own; given away, they may be changed.
        codec: that of the model which made them.
        degradation: measured in the input, see :func:`finish.degradation.estimate_degradation`.

    Returns:
        (T, H, W, 3) in [0, 1]; this process's own frames.
    """
    group = current_group()
    own = group.frame_span(len(source))
    if refine is not None and settings.refine_strength > 0:
        report("refine", 0, len(source))
        frames = refine(
            group.all_gather(frames, len(source)),
            source,
            strength=settings.refine_strength,
            detail=settings.detail,
            degradation=degradation,
            on_frames=lambda done, total: report("refine", done, total),
        )
    if not starts_from_base(codec):
        size = (int(frames.shape[1]), int(frames.shape[2]))
        base = _base_layer(source[: own.stop], size, settings, report)  # its frames depend on those before
        if base is not None:
            frames = blend_base_layer(frames, resize(base[own], size), detail=settings.detail, degradation=degradation)
            del base
    return back_project_onto_input(
        frames,
        source[own],
        settings,
        degradation,
        lambda done, total: report("fidelity", group.done_by_all(done, len(source)), len(source)),
    ).clamp_(0, 1)


def back_project_onto_input(
    frames: Tensor, source: Tensor, settings: Settings, degradation: float, on_frames: OnDone | None = None
) -> Tensor:
    """Frames back-projected onto the input as far as the settings demand; see :mod:`finish.back_projection`."""
    return back_project(
        frames,
        source,
        rounds=settings.fidelity_rounds,
        strength=settings.fidelity_strength,
        degradation=degradation,
        tolerance=TOLERANCE if settings.restore_strength else 0.0,
        on_frames=on_frames,
    )


def _base_layer(frames: Tensor, target: tuple[int, int], settings: Settings, report: OnProgress) -> Tensor | None:
    return make_base_layer(settings.base_layer, frames, target, lambda done, total: report("base", done, total))
