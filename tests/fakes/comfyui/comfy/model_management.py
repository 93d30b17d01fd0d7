"""Devices, memory and interruption, for a machine that has only a CPU and enough memory."""

from __future__ import annotations

from typing import Any

import torch

OOM_EXCEPTION = torch.OutOfMemoryError
_interrupted = False


class InterruptProcessingException(Exception):
    """The user pressed cancel."""


def get_torch_device() -> torch.device:
    return torch.device("cpu")


def should_use_fp16(
    device: Any = None, model_params: int = 0, prioritize_performance: bool = True, manual_cast: bool = False
) -> bool:
    return False


def unet_offload_device() -> torch.device:
    return torch.device("cpu")


def intermediate_device() -> torch.device:
    return torch.device("cpu")


def get_free_memory(dev: Any = None) -> int:
    return 2**30


def load_models_gpu(models: list[Any], **memory: Any) -> None:
    """Everything is loaded already."""


def loaded_models(only_currently_used: bool = False) -> list[Any]:
    """None is kept track of."""
    return []


def soft_empty_cache(force: bool = False) -> None:
    """There is no cache."""


def raise_non_oom(e: Exception) -> None:
    if not isinstance(e, OOM_EXCEPTION):
        raise e


def interrupt_current_processing(value: bool = True) -> None:
    global _interrupted  # noqa: PLW0603 - the real one is global too
    _interrupted = value


def throw_exception_if_processing_interrupted() -> None:
    if _interrupted:
        interrupt_current_processing(False)
        raise InterruptProcessingException
