"""What an adapter sees in training beside the patch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..adapter import Adapter


def noised_view(adapter: Adapter, view: Tensor, level: float | Tensor, generator: torch.Generator) -> Tensor:
    """The latent of the whole video, with the noise of the patch condition where the adapter is to know it so.

    Args:
        level: of the noise.
    """
    if not adapter.config.noised_view:
        return view
    noise = torch.randn(view.shape, generator=generator).to(view)
    return (1 - level) * view + level * noise
