"""What tells one job of Upscale Video from another, so that a run resumes only what it began."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ...weights import manifest
from .attention import options_of
from .loading import liem_strength_of
from .pipeline import NativeModels
from .propagation import RESCALED

OF_CONTROL_NETS = ("cond_hint_original", "strength", "timestep_percent_range")
"""What a ControlNet was given; it holds more while it runs."""


def job_identity(models: NativeModels) -> str:
    """Changes when other models, LoRAs or conditions are connected: a few numbers tell them apart."""
    digest = hashlib.sha256(" ".join(file["sha256"] for file in manifest()["files"].values()).encode())
    for patcher in (models.model, models.adapter, getattr(models.vae, "patcher", None), models.upscaler):
        if patcher is not None:
            _add_model(digest, patcher)
    chosen = models.model.model_options["transformer_options"]
    strength = None if models.adapter is None else liem_strength_of(models.adapter)
    digest.update(repr((options_of(chosen), chosen.get(RESCALED), strength)).encode())
    for conditioning in (models.positive, models.negative):
        _add_value(digest, conditioning or ())
    return f"native {digest.hexdigest()}"


def _add_model(digest: Any, patcher: Any) -> None:
    """A model as it was loaded, whatever is patched into it for the moment, and what is to be patched in."""
    kept = getattr(patcher, "backup", {})
    for name, tensor in sorted(patcher.model.state_dict().items()):
        digest.update(name.encode() + _few(kept[name].weight if name in kept else tensor))
    for name, patches in sorted(getattr(patcher, "patches", {}).items(), key=str):
        for strength, content, *_ in patches:
            weights = getattr(content, "weights", content)
            tensors = [part for part in weights if torch.is_tensor(part)] if isinstance(weights, tuple | list) else []
            digest.update(f"{name} {strength}".encode() + b"".join(map(_few, tensors)))
    for name, replaced in sorted(getattr(patcher, "object_patches", {}).items()):
        digest.update(name.encode())
        _add_object(digest, replaced, [key for key in getattr(replaced, "__dict__", ()) if not key.startswith("_")])


def _add_value(digest: Any, value: Any) -> None:
    """What a CONDITIONING holds: prompts, guidance, reference latents, masks, ControlNets."""
    if torch.is_tensor(value):
        digest.update(_few(value))
    elif isinstance(value, Mapping):
        for name in sorted(value, key=str):
            digest.update(f"{name}:".encode())
            _add_value(digest, value[name])
    elif isinstance(value, list | tuple):
        digest.update(f"{len(value)}:".encode())
        for part in value:
            _add_value(digest, part)
    elif value is None or isinstance(value, str | int | float):
        digest.update(repr(value).encode())
    else:
        _add_object(digest, value, OF_CONTROL_NETS)


def _add_object(digest: Any, value: Any, names: Iterable[str]) -> None:
    """Its class, and what it holds under these names as far as that is no object either."""
    digest.update(type(value).__qualname__.encode())
    for name in sorted(names):
        found = getattr(value, name, None)
        if torch.is_tensor(found) or isinstance(found, str | int | float | tuple):
            digest.update(f"{name}:".encode())
            _add_value(digest, found)


def _few(tensor: Any) -> bytes:
    """A few numbers of a tensor."""
    flat = tensor.detach().flatten()
    return f"{tuple(tensor.shape)} {flat[:: max(1, flat.numel() // 16)][:16].float().tolist()}".encode()
