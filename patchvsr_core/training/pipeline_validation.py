"""Validates the parts of a diffusion pipeline by running all of it."""

from __future__ import annotations

from pathlib import Path

from ..hosts.diffusers.models import Models
from ..hosts.diffusers.pipeline import upscale
from .validation import SCALE, validate


def score_pipeline(models: Models, folder: Path, sheet: Path) -> dict[str, float]:
    """See :func:`validation.validate`; clips are upscaled with the default settings of the models."""
    return validate(lambda small, size: upscale(small, size, models, models.defaults), folder, SCALE, sheet)
