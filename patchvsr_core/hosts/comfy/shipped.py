"""The models of a run where the user connects none, or only some."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...errors import PlanError
from ...stages.families import FAMILIES
from ...weights import shipped
from .codec import SpaceToDepthVAE
from .loading import family_of, load_model_patch, own_prompts, prompt_conditioning
from .pipeline import NativeModels
from .tiny import is_tiny, load_tiny


def shipped_models() -> NativeModels:
    """The tiny default: all that a run needs."""
    adapter = load_model_patch(shipped("tiny_adapter.safetensors"))
    return NativeModels(load_tiny(), SpaceToDepthVAE(), prompt_conditioning(adapter), None, adapter)


def complete_models(
    model: Any = None,
    vae: Any = None,
    positive: Any = None,
    negative: Any = None,
    adapter: Any = None,
    upscaler: Any = None,
    whole: NativeModels | None = None,
) -> NativeModels:
    """What is connected, and the shipped model's parts for what is not.

    Args:
        whole: all parts of a model at once, in place of single ones.

    Raises:
        PlanError: for parts that belong to a model which is not there, or that are there twice.
    """
    parts = {"vae": vae, "positive": positive, "negative": negative, "adapter": adapter}
    lone = [name for name, part in parts.items() if part is not None]
    if whole is not None:
        twice = [*(["model"] if model is not None else []), *lone]
        if twice:
            raise PlanError(
                f"models already brings all parts of a model; disconnect it, or disconnect {', '.join(twice)}."
            )
        return replace(whole, upscaler=upscaler)
    if model is None:
        if lone:
            raise PlanError(
                f"{', '.join(lone)} without a model: connect the model that belongs to it, or nothing at all for the "
                "built-in one."
            )
        return replace(shipped_models(), upscaler=upscaler)
    if is_tiny(model) and (vae is None or positive is None):
        own = shipped_models()
        vae, positive = own.vae if vae is None else vae, own.positive if positive is None else positive
    if positive is None and adapter is not None:
        positive = prompt_conditioning(adapter)
    if positive is None and not FAMILIES[family_of(model)].needs_prompt:
        positive, own_negative = own_prompts(model)
        negative = own_negative if negative is None else negative
    for name, part in {"vae": vae, "positive": positive}.items():
        if part is None:
            raise PlanError(f"This model needs its {name} too; connect {name}, or nothing at all for the built-in one.")
    return NativeModels(model, vae, positive, negative, adapter, upscaler)
