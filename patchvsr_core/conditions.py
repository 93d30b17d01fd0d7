"""What is known about every patch of a plan, ready to be asked for batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .adapter import Adapter, MicroConditions, PatchControl
from .codec import Codec
from .encode import noise_augmented
from .layout import Patch, PatchPlan


@dataclass(frozen=True, eq=False)
class PatchConditions:
    """The enlarged input on the canvas: condition of every patch, start of a run from the input."""

    latent: Tensor
    """(1, C, t, h, w) clean."""
    noise_level: float = 0.0
    """Noise augmentation of what the patch branch sees, [0, 1]."""
    seed: int = 0
    codec: Codec | None = None
    """What encoded the latent, and ..."""
    source: Tensor | None = None
    """... (T, h, w, 3) the clip it was made of; both only for a projection in pixels."""

    def augmented(self) -> Tensor:
        """The latent with the noise mixed in."""
        return noise_augmented(self.latent, self.noise_level, self.seed)


class Controls:
    """Makes the :class:`PatchControl` of any batch of patches.

    Args:
        clean: (1, C, t, h, w) latent of the enlarged input, in the space of the base model.
        augmented: the same with noise augmentation.
        noise_level: its level.
        view: (1, C, t, h', w') latent of the whole video at patch size, or None.
        adapter: None for a base without an adapter.
        dtype: in which the adapter computes; None: that of its weights.
    """

    def __init__(
        self,
        plan: PatchPlan,
        clean: Tensor,
        *,
        augmented: Tensor | None = None,
        noise_level: float = 0.0,
        view: Tensor | None = None,
        adapter: Adapter | None = None,
        patch_strength: float = 1.0,
        global_strength: float = 1.0,
        liem_strength: float = 1.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.plan = plan
        self.clean = clean
        self.augmented = clean if augmented is None else augmented
        self.noise_level = noise_level
        self.view = view
        self.adapter = adapter
        self.dtype = dtype or (clean.dtype if adapter is None else adapter.prompt.dtype)
        self.strengths = {
            "patch_strength": patch_strength,
            "global_strength": global_strength,
            "liem_strength": liem_strength,
        }

    def __call__(self, patches: Sequence[Patch], device: torch.device | None = None) -> PatchControl:
        """The control of some patches on ``device``; None: where the latents are."""
        device = device or self.clean.device
        anchor = torch.cat([patch.crop(self.clean) for patch in patches]).to(device)
        if self.adapter is None:
            return PatchControl(anchor)
        view = location = None
        if self.view is not None:
            view = torch.cat([self.view[:, :, p.origin[0] : p.origin[0] + p.size[0]] for p in patches])
            location = self.plan.locations(patches, (view.shape[3], view.shape[4])).to(anchor)
        return self.adapter.control(
            torch.cat([patch.crop(self.augmented) for patch in patches]).to(device, self.dtype),
            self.micro_conditions(patches),
            anchor=anchor,
            view=None if view is None else view.to(device, self.dtype),
            location=location,
            **self.strengths,
        )

    def micro_conditions(self, patches: Sequence[Patch]) -> MicroConditions:
        top, left = self.plan.crop_positions(patches).unbind(1)
        scale = torch.full_like(top, self.plan.canvas.scale)
        return MicroConditions(scale, top, left, torch.full_like(top, self.noise_level))
