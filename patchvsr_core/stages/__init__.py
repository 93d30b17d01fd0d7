"""The stages of a run, the same in every host: set-up, encoding, decoding, postprocessing, and all of them in order."""

from .frames import BaseLayer, Refine, back_project_onto_input, decode_frames, encode_input, postprocess
from .run import Denoise, Noise, sample_canvas, upscale_clip
from .setup import (
    ModelParts,
    RunModels,
    RunSetup,
    attention_options,
    carries_state,
    defaults_for,
    layout_for,
    make_plan,
    patches_of_step,
    plan_canvas,
    propagation_options,
    runs_auxiliary,
    runs_diffusion,
    set_up_run,
    steps_of_run,
)

__all__ = [
    "BaseLayer",
    "Denoise",
    "ModelParts",
    "Noise",
    "Refine",
    "RunModels",
    "RunSetup",
    "attention_options",
    "back_project_onto_input",
    "carries_state",
    "decode_frames",
    "defaults_for",
    "encode_input",
    "layout_for",
    "make_plan",
    "patches_of_step",
    "plan_canvas",
    "postprocess",
    "propagation_options",
    "runs_auxiliary",
    "runs_diffusion",
    "sample_canvas",
    "set_up_run",
    "steps_of_run",
    "upscale_clip",
]
