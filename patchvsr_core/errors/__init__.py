"""What goes wrong, as one sentence for whoever reads it: exceptions, translations, networks that return NaN."""

from .exceptions import (
    AdapterError,
    Cancelled,
    MediaError,
    ModelError,
    OutputError,
    PatchVSRError,
    PlanError,
    ProcessGroupError,
    phrase,
    say,
    speak_inside_comfyui,
)

__all__ = [
    "AdapterError",
    "Cancelled",
    "MediaError",
    "ModelError",
    "OutputError",
    "PatchVSRError",
    "PlanError",
    "ProcessGroupError",
    "phrase",
    "say",
    "speak_inside_comfyui",
]
