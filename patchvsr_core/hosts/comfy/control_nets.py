"""ComfyUI's ControlNets, cut for a batch of patches: each patch gets its own part of the hint."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import comfy.utils
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import PlanError
from ...plan.canvas import Canvas, Patch

KNOWN = "comfy.controlnet"
"""The module of the ControlNets that are known to scale their hint to the latent they are given."""


class ControlNetCutter:
    """Cuts the ControlNets of one run, and keeps what it cut for the next step.

    Args:
        canvas: whose frames, without its padding, a hint shows.
        images: whether the frames are a batch of images.
    """

    def __init__(self, canvas: Canvas, *, images: bool) -> None:
        self.canvas, self.images = canvas, images
        self._made: dict[tuple[Any, ...], Any] = {}

    def __call__(self, control: Any, patches: Sequence[Patch]) -> Any:
        """A ControlNet, and those chained before it, for some patches; the weights are shared.

        Raises:
            PlanError: for one that cannot be cut.
        """
        key = (id(control), *(patch.origin for patch in patches))
        if key not in self._made:
            self._made[key] = self._cut(control, patches)
        return self._made[key]

    def _cut(self, control: Any, patches: Sequence[Patch]) -> Any:
        hint = getattr(control, "cond_hint_original", None)
        is_known = type(control).__module__ == KNOWN and (self.images or self.canvas.latent_frames == 1)
        if not is_known or not isinstance(hint, Tensor) or hint.ndim != 4:
            raise PlanError("The conditioning has a ControlNet, which cannot be cut into patches yet; remove it.")
        made = copy.copy(control)
        made.cond_hint = made.extra_concat = None
        if hasattr(made, "control_input"):  # a T2I adapter's features of the last hint
            made.control_input = None
        if not control.global_average_pooling:  # with pooling the hint is a reference as a whole
            pixels = control.compression_ratio * (control.vae.spacial_compression_encode() if control.vae else 1)
            made.cond_hint_original = self._crops(hint, patches, pixels, control.upscale_algorithm)
            made.extra_concat_orig = [
                each if each.numel() == 1 else self._crops(each, patches, pixels, control.upscale_algorithm)
                for each in control.extra_concat_orig
            ]
        if control.previous_controlnet is not None:
            made.previous_controlnet = self(control.previous_controlnet, patches)
        clones = getattr(control, "multigpu_clones", {})  # since ComfyUI 0.23
        made.multigpu_clones = {device: self(clone, patches) for device, clone in clones.items()}
        return made

    def _crops(self, hint: Tensor, patches: Sequence[Patch], pixels: int, how: str) -> Tensor:
        """(B, C, H', W') of any size to the patches' own parts, in the rows that a model is given."""
        height, width = (pixels * side for side in self.canvas.latent_size)
        seen_height, seen_width = (max(1, round(pixels * side)) for side in self.canvas.visible_cells)
        seen = comfy.utils.common_upscale(hint, seen_width, seen_height, how, "center")
        whole = F.pad(seen, (0, width - seen_width, 0, height - seen_height), mode="replicate")
        return torch.cat([self._crop(whole, patch, pixels) for patch in patches])

    def _crop(self, whole: Tensor, patch: Patch, pixels: int) -> Tensor:
        (first, y, x), (frames, height, width) = patch.origin, patch.size
        rows = [(first + frame) % len(whole) for frame in range(frames if self.images else 1)]
        part = whole[..., y * pixels : (y + height) * pixels, x * pixels : (x + width) * pixels]
        return part[rows]
