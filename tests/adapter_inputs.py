"""A small base, and what an adapter for it gets to see."""

from __future__ import annotations

import torch

from patchvsr_core.adapter import Adapter, BaseSpec, MicroConditions

BASE = BaseSpec(channels=16, width=128, layers=2, ffn=192, text_dim=64)


def micro(patches: int, **changes: float) -> MicroConditions:
    values = {"scale": 4.0, "top": 0.0, "left": 0.0, "noise": 0.0, **changes}
    return MicroConditions(**{name: torch.full((patches,), value) for name, value in values.items()})


def control(adapter: Adapter, conditions: MicroConditions | None = None, location: torch.Tensor | None = None, **more):
    generator = torch.Generator().manual_seed(0)
    condition = torch.randn(2, 16, 2, 8, 6, generator=generator)
    view = torch.randn(1, 16, 2, 5, 7, generator=generator)[..., :4, :6]
    location = torch.zeros(2, 1, 4, 6) if location is None else location
    return adapter.control(condition, conditions or micro(2), view=view, location=location, **more)
