"""A model and what nodes changed about it, without touching the model until it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


class ModelPatcher:
    def __init__(self, model: Any, load_device: torch.device, offload_device: torch.device, size: int = 0) -> None:
        self.model = model
        self.load_device, self.offload_device, self.size = load_device, offload_device, size
        self.model_options: dict[str, Any] = {"transformer_options": {}}
        self.wrappers: dict[str, dict[str | None, list[Callable[..., Any]]]] = {}
        self.additional_models: dict[str, list[ModelPatcher]] = {}
        self.object_patches: dict[str, Any] = {}
        self.patches: dict[str, list[tuple[float, Any]]] = {}
        self.attachments: dict[str, Any] = {}
        self.cached_patcher_init: tuple[Callable[..., Any], tuple[Any, ...]] | None = None

    def is_dynamic(self) -> bool:
        return False

    def memory_required(self, input_shape: list[int]) -> float:
        return 2**30 + 4.0 * math.prod(input_shape)

    def model_dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype

    def clone(self) -> ModelPatcher:
        copy = type(self)(self.model, self.load_device, self.offload_device, self.size)
        copy.model_options = copied(self.model_options)
        copy.wrappers = copied(self.wrappers)
        copy.additional_models = {key: list(models) for key, models in self.additional_models.items()}
        copy.object_patches = dict(self.object_patches)
        copy.patches = copied(self.patches)
        copy.attachments = dict(self.attachments)
        copy.cached_patcher_init = self.cached_patcher_init
        return copy

    def add_wrapper_with_key(self, wrapper_type: str, key: str | None, wrapper: Callable[..., Any]) -> None:
        self.wrappers.setdefault(wrapper_type, {}).setdefault(key, []).append(wrapper)

    def set_model_sampler_post_cfg_function(self, post_cfg_function: Callable[..., Any]) -> None:
        before = self.model_options.get("sampler_post_cfg_function", [])
        self.model_options["sampler_post_cfg_function"] = [*before, post_cfg_function]

    def set_additional_models(self, key: str, models: list[Any]) -> None:
        self.additional_models[key] = models

    def set_attachments(self, key: str, attachment: Any) -> None:
        self.attachments[key] = attachment

    def get_attachment(self, key: str) -> Any:
        return self.attachments.get(key)

    def add_object_patch(self, name: str, obj: Any) -> None:
        self.object_patches[name] = obj

    def add_patches(
        self, patches: dict[str, Any], strength_patch: float = 1.0, strength_model: float = 1.0
    ) -> list[str]:
        known = [name for name in patches if name in self.model.state_dict()]
        for name in known:
            self.patches.setdefault(name, []).append((strength_patch, patches[name]))
        return known

    def get_model_object(self, name: str) -> Any:
        if name in self.object_patches:
            return self.object_patches[name]
        return _get(self.model, name)

    @contextmanager
    def applied(self) -> Iterator[Any]:
        """The model with all changes in place; as it was afterwards."""
        objects = {name: _set(self.model, name, patch) for name, patch in self.object_patches.items()}
        weights = {}
        for name, changes in self.patches.items():
            weight = _get(self.model, name)
            weights[name] = weight.data
            weight.data = weight.data + sum(strength * (up @ down).to(weight) for strength, (up, down) in changes)
        try:
            yield self.model
        finally:
            for name, original in objects.items():
                _set(self.model, name, original)
            for name, data in weights.items():
                _get(self.model, name).data = data


CoreModelPatcher = ModelPatcher


def copied(options: Any) -> Any:
    """Copy of nested dictionaries and lists; what lies in them is shared."""
    if isinstance(options, dict):
        return {key: copied(value) for key, value in options.items()}
    return list(options) if isinstance(options, list) else options


def _get(root: Any, name: str) -> Any:
    for part in name.split("."):
        root = getattr(root, part)
    return root


def _set(root: Any, name: str, value: Any) -> Any:
    """Set a dotted attribute; answers what it was."""
    *path, last = name.split(".")
    owner = _get(root, ".".join(path)) if path else root
    before = getattr(owner, last)
    setattr(owner, last, value)
    return before
