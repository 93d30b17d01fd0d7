"""Validates the parts of a diffusion pipeline by running all of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..hosts.diffusers.models import Models
from ..hosts.diffusers.pipeline import upscale
from ..plan.target_size import SCALE
from .validation import validate


def score_pipeline(models: Models, folder: Path, sheet: Path) -> dict[str, float]:
    """See :func:`validation.validate`; clips are upscaled with the default settings, but to the most probable image."""
    settings = replace(models.defaults, detail=0.0)
    return validate(lambda small, size: upscale(small, size, models, settings), folder, SCALE, sheet)
