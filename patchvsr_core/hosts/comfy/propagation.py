"""What corrects the fused and guided prediction: flow-guided propagation, and the spread of guidance."""

from __future__ import annotations

from functools import partial
from typing import Any

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...errors import PlanError
from ...propagation.canvas import CanvasPropagation
from ...sampling.solvers import SOLVERS, next_level, rescale_guidance
from .input_guidance import ETA
from .layout import as_batch, as_canvas
from .schedule import is_flow, position, schedule_of, to_flow

SOLVER = "patchvsr_solver"
PROPAGATED, RESCALED = "patchvsr_propagated", "patchvsr_rescale"
"""Marks in transformer_options of what a model went through."""
EULERS = tuple(f"sample_{name}" for name, solver in SOLVERS.items() if not solver.seeded)
"""Solvers whose steps lead straight to the prediction."""


def attach_propagation(model: Any, propagation: CanvasPropagation, span: tuple[float, float] | None = None) -> Any:
    """A clone of ``model`` whose predictions agree along the motion of the clip.

    Args:
        span: parts of a run, 0 to 1, between which it acts; None: at the noise levels of its options.
    """
    patched = model.clone()
    patched.set_model_sampler_post_cfg_function(partial(_propagate, propagation, span))
    patched.model_options["transformer_options"][PROPAGATED] = True
    patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, SOLVER, _with_solver_name)
    return patched


def attach_rescale(model: Any, rescale: float) -> Any:
    """A clone of ``model`` whose guidance is brought back to the spread of the positive prediction.

    Args:
        rescale: 0 (not at all) to 1.
    """
    patched = model.clone()
    later = patched.model_options.get("sampler_post_cfg_function", [])
    patched.model_options["sampler_post_cfg_function"] = [partial(_rescale, rescale), *later]  # guidance comes first
    patched.model_options["transformer_options"][RESCALED] = rescale
    return patched


def check_no_propagation(model: Any) -> None:
    """Raise when ``model`` went through Flow Propagation, which measured one whole clip.

    Raises:
        PlanError: saying what to use instead.
    """
    if model.model_options["transformer_options"].get(PROPAGATED):
        raise PlanError(
            "Flow Propagation measured one whole clip, and Upscale Video works in chunks; connect the model from "
            "before it, and use Upscale Video's own propagation."
        )


def _with_solver_name(
    executor: Any, guider: Any, sigmas: Tensor, extra_args: dict[str, Any], *rest: Any, **named: Any
) -> Tensor:
    """Wraps a sampler's whole run: puts the name of the solver into transformer_options."""
    name = getattr(getattr(executor.class_obj, "sampler_function", None), "__name__", None)
    options = extra_args["model_options"]
    options = {**options, "transformer_options": {**options.get("transformer_options", {}), SOLVER: name}}
    return executor(guider, sigmas, {**extra_args, "model_options": options}, *rest, **named)


def _propagate(propagation: CanvasPropagation, span: tuple[float, float] | None, args: dict[str, Any]) -> Tensor:
    options = args["model_options"]["transformer_options"]
    sigma, schedule = args["sigma"].max(), schedule_of(args["model_options"]["transformer_options"])
    step, steps = position(sigma, schedule)
    following = 0.0 if schedule is None else next_level(sigma, schedule)
    outside = span is not None and not ((step + 1) / steps > span[0] and step / steps < span[1])
    if outside or following is None:  # a run that ends with noise left looks at its last level too
        return args["denoised"]
    sampling, x0 = args["model"].model_sampling, args["denoised"]
    keeps_noise = options.get(SOLVER) in EULERS and is_flow(sampling)
    noise_kept = (1 - options.get(ETA, 0.0)) ** 0.5 if keeps_noise else None
    levels = to_flow(sampling, float(sigma)), to_flow(sampling, following)
    return as_batch(propagation(as_canvas(x0), *levels, step, noise_kept=noise_kept), images=x0.ndim == 4)


def _rescale(rescale: float, args: dict[str, Any]) -> Tensor:
    positive = args["cond_denoised"]
    if args["uncond_denoised"] is None or positive is args["denoised"]:
        return args["denoised"]
    return rescale_guidance(args["denoised"], positive, args["input"], rescale)
