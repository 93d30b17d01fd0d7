"""The tiny default's patches: by default its restorer makes the whole picture, and there would be none."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from patchvsr_core.hosts.diffusers.models import Models, load_models
from patchvsr_core.settings import BICUBIC


def load_patches(**options: Any) -> Models:
    """The tiny default with patches on bicubic, at ``detail`` 0; takes the options of ``load_models``."""
    models = load_models("tiny", **options)
    return replace(models, defaults=replace(models.defaults, base_layer=BICUBIC, detail=0.0))
