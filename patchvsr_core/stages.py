"""What is done before and after denoising, the same in every host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from .distributed import current_group
from .finish.back_projection import TOLERANCE, back_project
from .finish.base_layer import blend_base_layer, make_base_layer, starts_from_base
from .finish.color_fix import match_colors
from .finish.refine import Refiner
from .plan.canvas import Canvas, Patch, PatchPlan
from .plan.planner import plan_patches
from .progress import OnDone, OnProgress
from .propagation.attention_options import AttentionOptions, parse_layers
from .propagation.canvas import PropagationOptions
from .resample import resize
from .sampling.schedules import noise_levels, step_count
from .settings import TINY, WAN, Settings
from .vae.codec import Codec, SpaceToDepth
from .vae.conditional_decoder import ConditionalDecoder
from .vae.decode import InputCondition, blend_tiles, decode_tiles
from .vae.encode import encode_canvas

Noise = Callable[[torch.Size], Tensor]
"""Asked for normal noise in the shape of the latent canvas."""
Refine = Callable[..., Tensor]
"""(frames, source) to refined frames; takes the choices of :func:`finish.refine.refine_frames`."""


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


def defaults_for(codec: Codec) -> Settings:
    """What suits the model of a codec, which is all that some nodes know of it."""
    return TINY if isinstance(codec, SpaceToDepth) else WAN


def layout_for(codec: Codec) -> str:
    """The layout that suits the model of a codec."""
    return defaults_for(codec).layout


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


def patches_of_step(plan: PatchPlan, settings: Settings, step: int) -> tuple[Patch, ...]:
    """The patches that make the prediction of a step, counted from 0."""
    sigma = float(noise_levels(settings)[step])
    return plan.at_step(step, auxiliary=settings.auxiliary_end <= sigma <= settings.auxiliary_start)


def steps_of_run(settings: Settings) -> list[int]:
    """The step of every model call; Heun's solver looks ahead to every step but the first."""
    steps = list(range(step_count(settings)))
    return steps + steps[1:] if settings.solver == "heun" else steps


def encode_input(frames: Tensor, canvas: Canvas, codec: Codec, settings: Settings, report: OnProgress) -> Tensor:
    """The enlarged input on the canvas, (1, C, t, h, w)."""
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
    """Frames back-projected onto the input as far as the settings ask for; see :mod:`finish.back_projection`."""
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
