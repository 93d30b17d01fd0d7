"""Low-frequency guidance, pixel projection and eta on a native MODEL; see :mod:`patchvsr_core.sampling.input_guidance`.

The first two correct the fused and guided prediction after CFG, so that any sampler steps towards
what was held to the input. eta belongs to the solver: it takes the place of ComfyUI's euler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import comfy.model_management
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...errors import PlanError
from ...plan.canvas import Canvas, PatchPlan
from ...sampling.conditions import PatchConditions
from ...sampling.input_guidance import ancestral_euler, guide_low_frequencies, project_in_pixels
from .adapter import KEY
from .joint_modulation import FOCUS
from .layout import as_batch, as_canvas, latent_in, latent_out
from .progress import check_interrupt
from .schedule import is_flow, position, schedule_of
from .tiny import is_tiny

ETA = "patchvsr_eta"
"""Where transformer_options say how much of the noise a step replaces."""
SEEDS = 2**63
"""Seeds of the headless host; ComfyUI's go up to twice as far."""


@dataclass(frozen=True)
class EnhanceOptions:
    """What holds a stock base to the input; all off by default."""

    low_frequency_guidance: float = 0.0
    """How strongly low frequencies are guided towards the input's, 0 (off) to 1."""
    projection_steps: int = 0
    """At so many of the last steps predictions are back-projected in pixels."""
    eta: float = 0.0
    """Part of the noise that is replaced at every step, 0 (off) to 1."""


def attach_enhancement(model: Any, plan: PatchPlan, conditions: PatchConditions, options: EnhanceOptions) -> Any:
    """A clone of ``model`` that is held to the input; with everything off, ``model`` itself.

    Args:
        conditions: as Patch Encoder makes them; a projection needs the codec and the clip in them.

    Raises:
        PlanError: for a projection without codec and clip, or eta on a bridge.
    """
    if options == EnhanceOptions():
        return model
    patched = model.clone()
    if options.low_frequency_guidance > 0 or options.projection_steps > 0:
        if options.projection_steps > 0 and (conditions.codec is None or conditions.source is None):
            raise PlanError("Pixel projection needs the VAE and the clip; connect the patch_cond of Patch Encoder.")
        patched.set_model_sampler_post_cfg_function(partial(_held, plan.canvas, conditions, options))
    if options.eta > 0:
        if is_tiny(model):
            raise PlanError("eta replaces the noise of a flow, and the tiny default has none; set eta to 0.")
        if not is_flow(model.get_model_object("model_sampling")):
            raise PlanError(
                "eta replaces the noise of a flow, and this model is none; set eta to 0, and choose the sampler "
                "euler_ancestral for the same effect."
            )
        patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, KEY, partial(_ancestral, options.eta))
        patched.model_options["transformer_options"][ETA] = options.eta
    return patched


def _held(canvas: Canvas, conditions: PatchConditions, options: EnhanceOptions, args: dict[str, Any]) -> Tensor:
    """ComfyUI's post-CFG function: the fused and guided prediction, held to the input."""
    x0, sigma, base = as_canvas(args["denoised"]), args["sigma"].max(), args["model"]
    transformer_options = args["model_options"]["transformer_options"]
    schedule = schedule_of(transformer_options)
    if options.low_frequency_guidance > 0:
        clean = latent_in(base, conditions.latent).to(x0)
        start = float(sigma if schedule is None else schedule[0])
        x0 = guide_low_frequencies(x0, clean, sigma, strength=options.low_frequency_guidance, start=start)
    step, steps = position(sigma, schedule)
    if step >= steps - options.projection_steps and FOCUS not in transformer_options:
        x0 = _projected(x0, canvas, conditions, base)
    return as_batch(x0, images=args["denoised"].ndim == 4)


def _projected(x0: Tensor, canvas: Canvas, conditions: PatchConditions, base: Any) -> Tensor:
    """Pixel projection of a prediction in the space of the base; pixels stay where ComfyUI keeps images."""
    assert conditions.codec is not None and conditions.source is not None
    device = comfy.model_management.intermediate_device()
    latent = latent_out(base, x0).to(device, torch.float32)
    with _loaded_models_kept():
        projected = project_in_pixels(
            latent,
            conditions.codec,
            conditions.source.to(device, torch.float32),
            canvas,
            on_part=lambda done, total: check_interrupt(),
        )
    return latent_in(base, projected.to(x0))


@contextmanager
def _loaded_models_kept() -> Iterator[None]:
    """A VAE may push the model out of the GPU's memory in the middle of a run; afterwards it is loaded again."""
    loaded = comfy.model_management.loaded_models(only_currently_used=True)
    yield
    comfy.model_management.load_models_gpu(loaded)


def _ancestral(eta: float, executor: Any, guider: Any, sigmas: Tensor, *rest: Any, **named: Any) -> Tensor:
    """Wraps a sampler's whole run: the core's ancestral Euler instead of ComfyUI's euler."""
    euler = executor.class_obj
    if getattr(getattr(euler, "sampler_function", None), "__name__", None) != "sample_euler":
        raise PlanError("eta replaces the noise of Euler steps; choose the sampler euler, or set eta to 0.")
    sampler = comfy.samplers.KSAMPLER(partial(_solve, eta), inpaint_options=euler.inpaint_options)
    executor.original = sampler.sample  # other nodes' wrappers still run around it
    return executor(guider, sigmas, *rest, **named)


def _solve(
    eta: float,
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    disable: bool | None = None,
) -> Tensor:
    """A sampler function as ComfyUI calls it; fresh noise depends on the seed of the run and the step."""
    extra = extra_args or {}

    def predict(x: Tensor, sigma: Tensor, step: int) -> Tensor:
        return model(x, sigma.expand(len(x)), **extra)

    def report(step: int, x0: Tensor, x: Tensor) -> None:
        if callback is not None:
            callback({"i": step, "denoised": x0, "x": x, "sigma": sigmas[step], "sigma_hat": sigmas[step]})

    return ancestral_euler(eta, (extra.get("seed") or 0) % SEEDS)(predict, x, sigmas, report)
