"""What a plan, a latent and a model bring along, so that it needs no wire of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from torch import Tensor

from ...errors import PlanError
from ...plan.canvas import PatchPlan

KEY = "patchvsr_plan"
"""Of the plan in a LATENT, and among a model's options."""
Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class ClipPlan(PatchPlan):
    """A plan with what it was made for."""

    clip: Tensor | None = None
    """(T, h, w, C) frames, and ..."""
    vae: Any = None
    """... ComfyUI's VAE."""


def with_clip(plan: PatchPlan, clip: Tensor, vae: Any) -> ClipPlan:
    """The plan with the clip and the VAE that it was made for."""
    return ClipPlan(**{field.name: getattr(plan, field.name) for field in fields(plan)}, clip=clip, vae=vae)


def clip_of(given: Tensor | None, plan: PatchPlan) -> Tensor:
    """The clip that is connected, or else the one of the plan."""
    return connected("image", given, getattr(plan, "clip", None))


def vae_of(given: Any, plan: PatchPlan) -> Any:
    """The VAE that is connected, or else the one of the plan."""
    return connected("vae", given, getattr(plan, "vae", None))


def connected(name: str, *values: Value | None) -> Value:
    """The first of them that is there.

    Args:
        name: the input to name where none is.

    Raises:
        PlanError: in one sentence.
    """
    for value in values:
        if value is not None:
            return value
    raise PlanError(f"Nothing arrives at {name}; connect it.")


def plan_in(carrier: Any) -> PatchPlan | None:
    """The plan of a LATENT or a MODEL that brings one."""
    held = carrier if isinstance(carrier, Mapping) else getattr(carrier, "model_options", {})
    return held.get(KEY)


def latent_with_plan(latent: Mapping[str, Any], plan: PatchPlan) -> dict[str, Any]:
    """A LATENT that brings its plan."""
    return {**latent, KEY: plan}


def model_with_plan(model: Any, plan: PatchPlan) -> Any:
    """A clone of a MODEL that brings its plan."""
    patched = model.clone()
    patched.model_options = {**patched.model_options, KEY: plan}
    return patched
