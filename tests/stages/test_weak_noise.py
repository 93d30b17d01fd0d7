"""The whole default pipeline on noise as weak as a camera's: what the restorer removes stays removed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.resample import resize

BORDER_PX = 16


@pytest.mark.parametrize("deviation", [2, 3])
def test_agreeing_with_the_input_does_not_bring_its_noise_back(deviation: float) -> None:
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    smooth = [0.5 + 0.2 * torch.sin(columns / 17 + k / 9) * torch.cos(rows / 13) for k in range(3)]
    clean = torch.stack([torch.stack(smooth, -1).roll(t, 1) for t in range(3)])
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)) * deviation / 255
    models, target = load_models(precision="float32"), (4 * 48, 4 * 64)
    made = upscale(((clean + noise) * 255).round() / 255, target, models, replace(models.defaults, detail=0.0))
    error = (made - resize(clean, target))[:, BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    assert error.square().mean().sqrt() * 255 < deviation / 2
