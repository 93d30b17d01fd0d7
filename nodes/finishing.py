"""Nodes after the blender."""

from __future__ import annotations

import logging

from comfy_api.latest import io, ui

from ..patchvsr_core.degradation import estimate_input_degradation
from ..patchvsr_core.errors import phrase, say
from ..patchvsr_core.finish.back_projection import check_pair
from ..patchvsr_core.finish.base_layer import base_layer_weight, blend_base_layer
from ..patchvsr_core.finish.strength_map import StrengthMap, apply_strength_map
from ..patchvsr_core.hosts.comfy import Progress, run_refiner, shape_of, timed_stage
from ..patchvsr_core.quality import detail_energy
from ..patchvsr_core.run.alpha import with_matte
from ..patchvsr_core.settings import Settings
from ..patchvsr_core.stages import back_project_onto_input
from .bypass import check_blended, check_matte
from .sockets import Stage
from .widgets import finishing_widgets, setting_widget, strength_widgets

log = logging.getLogger("patchvsr")

SHARP = 1.5
"""Energy of brightness gradients over the upsampled input's, of frames that are sharp already: the tiny default's have
1.1 to 1.25, originals 1.8 to 6.4, of clean, noisy and compressed input alike."""


class RefineFidelity(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PatchVSR_RefineFidelity",
            display_name="Enhance Detail (Refine & Fidelity)",
            category=Stage.FINISH,
            description="A small network adds detail from the input; back-projection makes the result agree with it.",
            search_aliases=["patchvsr", "back-projection", "refiner", "enhance", "sharpen", "restore"],
            inputs=[
                io.Image.Input("image", tooltip="The upscaled frames."),
                io.Image.Input("source", tooltip="The input clip."),
                setting_widget("refine_strength"),
                *finishing_widgets(),
                io.Image.Input(
                    "base_layer",
                    optional=True,
                    tooltip="A second estimate to blend with the tiny default's result: the clip upscaled to "
                    "the same size by DAP Upscale, RDG Upscale or any other node. At detail 0 each "
                    "contributes about half; the base layer counts less the higher detail is set and the "
                    "noisier the input is.",
                ),
                *strength_widgets("the base layer, or else the bicubically upsampled input"),
            ],
            outputs=[io.Image.Output(tooltip="The finished frames.")],
            hidden=[io.Hidden.prompt],
        )

    @classmethod
    def execute(
        cls,
        image: io.Image.Type,
        source: io.Image.Type,
        refine_strength: float,
        rounds: int,
        fidelity: float,
        detail: float,
        cleanup: float,
        base_layer: io.Image.Type | None = None,
        strength_map: io.Mask.Type | None = None,
        map_white: float = 1.0,
    ) -> io.NodeOutput:
        check_blended(cls.hidden.prompt, "image")
        check_matte(cls.hidden.prompt, source)
        strength = StrengthMap(map=strength_map, white=map_white)
        given, frames, source = source, image[..., :3], source[..., :3]
        check_pair(frames, source)
        degradation = estimate_input_degradation(source, cleanup)
        notice = sharp_frames_notice(frames, source, refine_strength)
        if refine_strength > 0:
            frames = run_refiner(frames, source, refine_strength, detail, degradation, Progress())
        if base_layer is not None:
            frames = blend_base_layer(
                frames.clone() if refine_strength == 0 else frames,
                base_layer[..., :3],
                base_layer_weight(detail=detail, degradation=degradation),
            )
        result = agreeing(frames, source, rounds, fidelity, cleanup, degradation)
        if strength.has_effect:
            result = apply_strength_map(result, source if base_layer is None else base_layer[..., :3], strength)
        return io.NodeOutput(with_matte(result, given), ui=notice)


def sharp_frames_notice(frames: io.Image.Type, source: io.Image.Type, strength: float) -> ui.PreviewText | None:
    """What the node shows, and the log, where a refiner is to run on frames that it would give halos."""
    middle = slice(len(frames) // 2, len(frames) // 2 + 1)
    is_sharp = strength > 0 and detail_energy(frames[middle], source[middle]) >= SHARP
    return halo_notice() if is_sharp else None


def halo_notice() -> ui.PreviewText:
    """What a refiner does to sharp frames, in a sentence; it is logged too."""
    sentence = phrase(
        "These frames are sharp already, and the refiner gives such frames halos; set its strength to 0, unless it was "
        "trained on frames like these."
    )
    log.warning(sentence)
    return ui.PreviewText(say(sentence))


def agreeing(
    frames: io.Image.Type, source: io.Image.Type, rounds: int, fidelity: float, cleanup: float, degradation: float
) -> io.Image.Type:
    """Frames made to agree with the input, with a progress bar; in [0, 1]."""
    settings = Settings(fidelity_rounds=rounds, fidelity_strength=fidelity, restore_strength=cleanup)
    with timed_stage("fidelity", **shape_of(frames)):
        return back_project_onto_input(frames, source, settings, degradation, Progress()).clamp(0, 1)
