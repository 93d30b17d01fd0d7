"""The trained part of PatchVSR: two branches, micro-conditions, LoRA and a fixed prompt."""

from .adapter import Adapter, PatchControl
from .conditioning import MicroConditions
from .config import AdapterConfig, BaseSpec
from .file import load_adapter, save_adapter

__all__ = ["Adapter", "AdapterConfig", "BaseSpec", "MicroConditions", "PatchControl", "load_adapter", "save_adapter"]
