"""The trained part of PatchVSR: two branches, micro-conditioning, LoRA and a fixed prompt."""

from .adapter import Adapter, Features, PatchControl, Strengths, concat_features
from .conditioning import MicroConditions
from .config import AdapterConfig, BaseSpec
from .file import load_adapter, save_adapter

__all__ = [
    "Adapter",
    "AdapterConfig",
    "BaseSpec",
    "Features",
    "MicroConditions",
    "PatchControl",
    "Strengths",
    "concat_features",
    "load_adapter",
    "save_adapter",
]
