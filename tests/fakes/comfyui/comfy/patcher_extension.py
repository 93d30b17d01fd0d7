"""Wrappers: functions around a stage of sampling. Each gets an executor that goes on with the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class WrappersMP:
    OUTER_SAMPLE = "outer_sample"
    PREPARE_SAMPLING = "prepare_sampling"
    SAMPLER_SAMPLE = "sampler_sample"
    PREDICT_NOISE = "predict_noise"
    CALC_COND_BATCH = "calc_cond_batch"
    APPLY_MODEL = "apply_model"
    DIFFUSION_MODEL = "diffusion_model"


class WrapperExecutor:
    """Calls the first wrapper with an executor over the rest; without wrappers, the stage itself."""

    def __init__(self, original: Callable[..., Any], class_obj: Any, wrappers: list[Callable[..., Any]]) -> None:
        self.original, self.class_obj, self.wrappers = original, class_obj, wrappers

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.wrappers:
            return self.original(*args, **kwargs)
        following = WrapperExecutor(self.original, self.class_obj, self.wrappers[1:])
        return self.wrappers[0](following, *args, **kwargs)


def get_all_wrappers(wrapper_type: str, transformer_options: dict[str, Any], is_model_options: bool = False) -> list:
    """Wrappers of one stage, in the order in which they were added."""
    if is_model_options:
        transformer_options = transformer_options.get("transformer_options", {})
    by_key = transformer_options.get("wrappers", {}).get(wrapper_type, {})
    return [wrapper for wrappers in by_key.values() for wrapper in wrappers]
