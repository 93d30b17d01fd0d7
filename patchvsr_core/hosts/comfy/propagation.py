"""What corrects the fused and guided prediction: flow-guided propagation, and the spread of guidance."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from ...propagation.canvas import CanvasPropagation
from ...sampling import rescaled
from .schedule import position, schedule_of


def attach_propagation(model: Any, propagation: CanvasPropagation) -> Any:
    """A clone of ``model`` whose predictions agree along the motion of the clip."""
    patched = model.clone()
    patched.set_model_sampler_post_cfg_function(partial(_propagated, propagation))
    return patched


def attach_rescale(model: Any, rescale: float) -> Any:
    """A clone of ``model`` whose guidance is brought back to the spread of the positive prediction.

    Args:
        rescale: 0 (not at all) to 1.
    """
    patched = model.clone()
    patched.set_model_sampler_post_cfg_function(partial(_rescaled, rescale))
    return patched


def _propagated(propagation: CanvasPropagation, args: dict[str, Any]) -> Tensor:
    sigma, schedule = args["sigma"].max(), schedule_of(args["model_options"])
    step, _ = position(sigma, schedule)
    following = 0.0 if schedule is None else float(schedule[step + 1])
    return propagation(args["denoised"], float(sigma), following, step)


def _rescaled(rescale: float, args: dict[str, Any]) -> Tensor:
    positive = args["cond_denoised"]
    if args["uncond_denoised"] is None or positive is args["denoised"]:
        return args["denoised"]
    return rescaled(args["denoised"], positive, args["input"], rescale)
