"""The conditions of every patch of a plan, made batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..adapter import Adapter, Features, MicroConditions, PatchControl, Strengths, concat_features
from ..devices import free_bytes
from ..plan.canvas import Patch, PatchPlan
from ..vae.codec import Codec
from ..vae.encode import augment_noise, augment_view

CACHE_SHARE = 0.25
"""Part of the free memory that features of patches may take, and ..."""
CACHE_BYTES = 4 * 2**30
"""... how much at most."""


@dataclass(frozen=True, eq=False)
class PatchConditions:
    """The upsampled LR input on the canvas: condition of every patch, start of a run from the input."""

    latent: Tensor
    """(1, C, t, h, w) clean."""
    noise_level: float = 0.0
    """Noise augmentation of what the patch branch sees, [0, 1]."""
    seed: int = 0
    codec: Codec | None = None
    """What encoded the latent, and ..."""
    source: Tensor | None = None
    """... (T, h, w, 3) the clip it was made of; both only for a projection in pixels."""
    plan: PatchPlan | None = None
    """Whose canvas it lies on, where that is not known otherwise."""
    noised: Tensor | None = None
    """(1, C, t, h, w) of the clip with noise in its pixels; None: noise is mixed into the latent."""

    def augmented_latent(self) -> Tensor:
        """The latent with the noise in it."""
        if self.noised is not None:
            return self.noised
        return augment_noise(self.latent, self.noise_level, self.seed)


class Controls:
    """Makes the :class:`PatchControl` of any batch of patches.

    What the branches make of a patch is the same at every step, and is cached for the next one as far as there is
    memory for it.

    Args:
        clean: (1, C, t, h, w) latent of the upsampled LR input, in the space of the base model.
        augmented: the same with noise augmentation.
        noise_level: its level.
        view: (1, C, t, h', w') latent of the whole video at patch size, without noise, or None.
        seed: of the noise that an adapter may want in it, at the same level.
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
        strengths: Strengths = Strengths(),
        dtype: torch.dtype | None = None,
        seed: int = 0,
    ) -> None:
        self.plan = plan
        self.clean = clean
        self.augmented = clean if augmented is None else augmented
        self.noise_level = noise_level
        is_noised = view is not None and adapter is not None and adapter.config.noised_view
        self.view = augment_view(view, noise_level, seed) if view is not None and is_noised else view
        self.adapter = adapter
        self.dtype = dtype or (clean.dtype if adapter is None else adapter.prompt.dtype)
        self.strengths = strengths
        self._cache: dict[tuple[int, int, int], Features] = {}
        self._room: int | None = None

    def __call__(
        self,
        patches: Sequence[Patch],
        device: torch.device | None = None,
        *,
        adapted: bool = True,
        again: bool = True,
    ) -> PatchControl:
        """The control of some patches.

        Args:
            device: None: where the latents are.
            adapted: False leaves the adapter out.
            again: whether the same patches will be needed at another step.
        """
        device = device or self.clean.device
        anchor = torch.cat([patch.crop(self.clean) for patch in patches]).to(device)
        if self.adapter is None or not adapted:
            return PatchControl(anchor)
        return PatchControl(anchor, self.adapter, self._features(self.adapter, patches, device, again), self.strengths)

    def clear_cache(self) -> None:
        """Free the features that are cached from step to step."""
        self._cache, self._room = {}, None

    def _features(self, adapter: Adapter, patches: Sequence[Patch], device: torch.device, again: bool) -> Features:
        if not again:
            return self._encode(adapter, patches, device)
        new = [patch for patch in patches if patch.origin not in self._cache]
        made = self._encode(adapter, new, device) if new else None
        parts = {} if made is None else {patch.origin: made.select(n) for n, patch in enumerate(new)}
        self._store(parts, device)
        return concat_features([parts.get(p.origin) or self._cache[p.origin] for p in patches])

    def _store(self, parts: dict[tuple[int, int, int], Features], device: torch.device) -> None:
        """All patches return equally often, so the first that come are as good to cache as any."""
        if self._room is None:
            self._room = min(int(CACHE_SHARE * free_bytes(device)), CACHE_BYTES)
        for origin, features in parts.items():
            if features.nbytes <= self._room:
                self._room -= features.nbytes
                self._cache[origin] = features

    def _encode(self, adapter: Adapter, patches: Sequence[Patch], device: torch.device) -> Features:
        view = location = None
        if self.view is not None:
            view = torch.cat([self.view[:, :, p.origin[0] : p.origin[0] + p.size[0]] for p in patches])
            location = self.plan.locations(patches, (view.shape[3], view.shape[4])).to(device)
        return adapter.features(
            torch.cat([patch.crop(self.augmented) for patch in patches]).to(device, self.dtype),
            self.micro_conditions(patches),
            view=None if view is None else view.to(device, self.dtype),
            location=location,
            strengths=self.strengths,
        )

    def micro_conditions(self, patches: Sequence[Patch]) -> MicroConditions:
        top, left = self.plan.crop_positions(patches).unbind(1)
        scale = torch.full_like(top, self.plan.canvas.scale)
        return MicroConditions(scale, top, left, torch.full_like(top, self.noise_level))
