"""What is done with frames before and after denoising."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from ..degradation import MeasuredDegradation
from ..distributed import current_group
from ..finish.back_projection import TOLERANCE, back_project
from ..finish.base_layer import Fast, Restore, Upscale, add_detail, make_base_layer, starts_from_base
from ..finish.color_fix import match_colors
from ..plan.canvas import Canvas
from ..plan.chunks import ChunkState
from ..progress import OnDone, OnProgress
from ..resample import resize
from ..restorer.restore import Finish
from ..settings import RESTORER, Settings
from ..vae.codec import Codec
from ..vae.conditional_decoder import ConditionalDecoder
from ..vae.decode import InputCondition, blend_tiles, decode_tiles
from ..vae.encode import encode_canvas

Refine = Callable[..., Tensor]
"""(frames, source) to refined frames; takes the choices of :func:`finish.refine.refine_frames`."""


@dataclass(frozen=True)
class BaseLayer:
    """What makes the base layer of a run."""

    settings: Settings
    degradation: MeasuredDegradation
    """What is to be removed from the input."""
    report: OnProgress
    chunk_state: ChunkState | None = None
    restore: Restore | None = None
    """Runs the restorer; None: the shipped one where the frames are."""
    upscale: Upscale | None = None
    """Runs an image upscaler."""
    fast: Fast | None = None
    """Runs a real-time network; None: the shipped one where the frames are."""

    def __call__(self, frames: Tensor, target: tuple[int, int], finish: Finish | None = None) -> Tensor | None:
        """See :func:`finish.base_layer.make_base_layer`."""
        return make_base_layer(
            self.settings.base_layer,
            frames,
            target,
            lambda done, total: self.report("base", done, total),
            detail=self.settings.detail,
            degradation=self.degradation,
            chunk_state=self.chunk_state,
            restore=self.restore,
            upscale=self.upscale,
            fast=self.fast,
            finish=finish,
        )


def encode_input(
    frames: Tensor, canvas: Canvas, codec: Codec, settings: Settings, report: OnProgress, base_layer: BaseLayer
) -> Tensor:
    """The latent of the upsampled LR input on the canvas, (1, C, t, h, w)."""
    base = base_layer(frames, canvas.target) if starts_from_base(codec) else None
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
    base_layer: BaseLayer,
) -> Tensor:
    """The refiner, the base layer where it joins at the end, and what makes the result agree with the input.

    Args:
        frames: decoded, this process's own; given away, they may be changed.
        codec: that of the model which made them.

    Returns:
        (T, H, W, 3) in [0, 1]; this process's own frames.
    """
    own = current_group().frame_span(len(source))
    size = (int(frames.shape[1]), int(frames.shape[2]))
    refined = partial(_refine, frames, source, settings, report, refine, base_layer.degradation.level)
    base = None if starts_from_base(codec) else base_layer(source, size)
    if base is None:
        frames = refined(settings.detail)
    else:
        frames = add_detail(resize(base[own], size), refined(settings.patch_detail), refined(0.0))
    del base, refined
    return _agreeing(frames, source, settings, report, base_layer.degradation.level)


def _refine(
    frames: Tensor,
    source: Tensor,
    settings: Settings,
    report: OnProgress,
    refine: Refine | None,
    degradation: float,
    detail: float,
) -> Tensor:
    """This process's own frames, refined where there is a refiner."""
    if refine is None or settings.refine_strength == 0:
        return frames
    report("refine", 0, len(source))
    return refine(
        current_group().all_gather(frames, len(source)),
        source,
        strength=settings.refine_strength,
        detail=detail,
        degradation=degradation,
        on_frames=lambda done, total: report("refine", done, total),
    )


def restore_input(
    source: Tensor, target: tuple[int, int], settings: Settings, report: OnProgress, base_layer: BaseLayer
) -> Tensor:
    """The base layer as the whole result, made to agree with the input; as :func:`postprocess` otherwise."""
    state = base_layer.chunk_state
    hands_on = settings.base_layer == RESTORER and current_group().size == 1
    if hands_on and state is not None and state.on_final is not None:
        finish = partial(_finish_window, source, target, settings, base_layer.degradation.level, state.on_final)
        result = base_layer(source, target, finish)
        assert result is not None, "bicubic is never the whole result"
        return result
    base = base_layer(source, target)
    assert base is not None, "bicubic is never the whole result"
    own = current_group().frame_span(len(source))
    return _agreeing(resize(base[own], target), source, settings, report, base_layer.degradation.level)


def _finish_window(
    source: Tensor,
    target: tuple[int, int],
    settings: Settings,
    degradation: float,
    on_final: Callable[[Tensor], None],
    first: int,
    frames: Tensor,
) -> Tensor:
    """Finish restored frames from ``first`` on and hand them on, while the next ones are restored; none are kept."""
    own = source[first : first + len(frames)]
    made = back_project_onto_input(resize(frames, target), own, settings, degradation).clamp_(0, 1)
    for frame in made:
        on_final(frame.cpu())
    return made[:0]


def _agreeing(frames: Tensor, source: Tensor, settings: Settings, report: OnProgress, degradation: float) -> Tensor:
    """This process's own frames, back-projected onto the input."""
    group = current_group()
    return back_project_onto_input(
        frames,
        source[group.frame_span(len(source))],
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
