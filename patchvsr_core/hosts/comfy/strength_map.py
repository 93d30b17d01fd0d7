"""Strength maps on a native MODEL; see :mod:`patchvsr_core.finish.strength_map`."""

from __future__ import annotations

from functools import partial
from typing import Any

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...errors import PlanError
from ...finish.strength_map import StrengthMap, blend_with_base
from ...plan.canvas import Canvas
from ...sampling.conditions import PatchConditions
from .layout import as_batch, as_canvas, latent_in

KEY = "patchvsr_strength"


def attach_strength(model: Any, canvas: Canvas, conditions: PatchConditions, strength: StrengthMap) -> Any:
    """A clone of ``model`` whose runs end blended with the upsampled LR input; ``model`` itself where nothing changes.

    Args:
        conditions: as Patch Encoder makes them, with the codec.

    Raises:
        PlanError: for conditions without a codec.
    """
    if not strength.has_effect:
        return model
    if conditions.codec is None:
        raise PlanError("Fidelity and strength map need the VAE; connect the patch_cond of Patch Encoder.")
    patched = model.clone()
    weight = strength.for_latent(conditions.codec, canvas)
    patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, KEY, partial(_blend, conditions.latent, weight))
    return patched


def _blend(latent: Tensor, weight: Tensor, executor: Any, guider: Any, sigmas: Tensor, *rest: Any, **named: Any) -> Any:
    """Wraps a sampler's whole run; one that stops before the end leaves it to the one that resumes."""
    samples = executor(guider, sigmas, *rest, **named)
    if float(sigmas[-1]) > 0:
        return samples
    base, result = latent_in(guider.inner_model, latent).to(samples), as_canvas(samples)
    return as_batch(blend_with_base(base, result, weight), images=samples.ndim == 4)
