"""What ComfyUI gives a model beside the latent, cut for a batch of patches.

A tensor of the canvas's size is cut with the patch: image-to-video and reference latents, SeedVR2's condition,
denoise masks, poses, camera rays at pixel size. Prompts and all else are the same for every patch. Sizes tell
which is which, so that models this pack has never seen work too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.context_windows
import comfy.utils
import torch
from torch import Tensor

from ...errors import PlanError
from ...plan.canvas import Patch

Conds = list[list[dict[str, Any]] | None]
"""Of every prompt, what ComfyUI made of its CONDITIONING."""
NO_LIMIT = 2**31
"""What ComfyUI puts into an area for an axis that it does not limit."""


@dataclass(frozen=True)
class PatchInputs:
    """Cuts conditions for batches of patches."""

    canvas: tuple[int, int, int]
    """(T, H, W)."""
    images: bool
    """Whether the frames are a batch of images."""
    base: Any
    """The model."""
    cut_control: Callable[[Any, Sequence[Patch]], Any]
    """Cuts a ControlNet."""

    def cut(self, conds: Conds, patches: Sequence[Patch]) -> Conds:
        """The conditions of the patches of one model call; several only where :func:`has_areas` is False."""
        return [group and [c for cond in group if (c := self._cut(cond, patches))] for group in conds]

    def cut_tensor(self, tensor: Tensor, patches: Sequence[Patch], *, mask: bool = False) -> Tensor | None:
        """A tensor of the canvas's size for every patch, in the rows that :func:`layout.as_batch` makes.

        Args:
            mask: it has no channels.

        Returns:
            None where it is of another size.
        """
        pixels = self._pixels_per_cell(tensor) if tensor.ndim >= (3 if mask else 4) else 0
        if not pixels:
            return None
        return torch.cat([self._crop(self._rows(tensor, patch), patch, pixels, mask) for patch in patches])

    def _cut(self, cond: dict[str, Any], patches: Sequence[Patch]) -> dict[str, Any] | None:
        """None where its area does not touch the patch."""
        if cond.get("gligen") is not None:
            raise PlanError("The conditioning has GLIGEN boxes, which cannot be cut into patches; remove them.")
        made = dict(cond)
        given = cond.get("model_conds", {})
        made["model_conds"] = {key: self._cut_input(key, each, patches) for key, each in given.items()}
        if cond.get("area") is not None:
            made["area"] = self._cut_area(cond["area"], patches[0])
            if made["area"] is None:
                return None
        if cond.get("mask") is not None:
            made["mask"] = self.cut_tensor(cond["mask"], patches, mask=True)
        if cond.get("control") is not None:
            made["control"] = self.cut_control(cond["control"], patches)
        return made

    def _cut_input(self, key: str, cond: Any, patches: Sequence[Patch]) -> Any:
        """One of ComfyUI's COND objects."""
        value = getattr(cond, "cond", None)
        if torch.is_tensor(value):
            made = self.cut_tensor(value, patches)
            return self._same_everywhere(key, cond, patches) if made is None else cond._copy_with(made)
        if isinstance(value, list) and value and all(map(torch.is_tensor, value)):
            kept = [self._cut_or_keep(each, patches) for each in value]
            return cond._copy_with(kept)
        return cond

    def _cut_or_keep(self, tensor: Tensor, patches: Sequence[Patch]) -> Tensor:
        made = self.cut_tensor(tensor, patches)
        return self._all_rows(tensor, patches) if made is None else made

    def _same_everywhere(self, key: str, cond: Any, patches: Sequence[Patch]) -> Any:
        """Of another size than the canvas; a model may still know how its time goes along, as sound does."""
        resize = getattr(self.base, "resize_cond_for_context_window", None)
        if resize is not None and not self.images and patches[0].size[0] < self.canvas[0]:
            windows = [
                resize(key, cond, self._window(patch), self._stand_in(cond), cond.cond.device) for patch in patches
            ]
            if windows[0] is not None:
                return cond._copy_with(torch.cat([window.cond for window in windows]))
        return cond._copy_with(self._all_rows(cond.cond, patches))

    def _window(self, patch: Patch) -> Any:
        frames = range(patch.origin[0], patch.origin[0] + patch.size[0])
        return comfy.context_windows.IndexListContextWindow(list(frames), dim=2, total_frames=self.canvas[0])

    def _stand_in(self, cond: Any) -> Tensor:
        """A latent of the canvas's size that takes no memory; only its shape is looked at."""
        return cond.cond.new_zeros(()).expand(1, 1, *self.canvas)

    def _all_rows(self, tensor: Tensor, patches: Sequence[Patch]) -> Tensor:
        """A tensor of another size, in the rows of the patches; a single row is repeated by ComfyUI."""
        if len(tensor) == 1 or tensor.ndim == 0:
            return tensor
        return torch.cat([self._rows(tensor, patch) for patch in patches])

    def _rows(self, tensor: Tensor, patch: Patch) -> Tensor:
        """The rows of a patch's frames, as ComfyUI gives rows to a batch of images; of a video the first."""
        if not self.images:
            return tensor[:1]
        first, frames = patch.origin[0], patch.size[0]
        if len(tensor) == 1:
            return tensor.expand(frames, *tensor.shape[1:])
        return comfy.utils.repeat_to_batch_size(tensor, self.canvas[0])[first : first + frames]

    def _pixels_per_cell(self, tensor: Tensor) -> int:
        """How many of a tensor's rows and columns a cell of the canvas takes; 0: it is of another size."""
        (height, width), (rows, columns) = tensor.shape[-2:], self.canvas[1:]
        pixels = height // rows
        return pixels if (height, width) == (pixels * rows, pixels * columns) else 0

    def _crop(self, tensor: Tensor, patch: Patch, pixels: int, mask: bool) -> Tensor:
        (t, y, x), (frames, height, width) = patch.origin, patch.size
        has_time = not self.images and tensor.ndim >= (4 if mask else 5) and tensor.shape[-3] == self.canvas[0]
        if has_time:
            tensor = tensor[..., t : t + frames, :, :]
        return tensor[..., y * pixels : (y + height) * pixels, x * pixels : (x + width) * pixels]

    def _cut_area(self, area: Sequence[int], patch: Patch) -> tuple[int, ...] | None:
        """An area (sizes, then offsets) within a patch; None where they do not meet."""
        count = 2 if self.images else 3
        sizes, starts = (list(part)[-count:] for part in (area[: len(area) // 2], area[len(area) // 2 :]))
        sizes, starts = [NO_LIMIT] * (count - len(sizes)) + sizes, [0] * (count - len(starts)) + starts
        lengths, offsets = [], []
        for size, start, first, length in zip(sizes, starts, patch.origin[-count:], patch.size[-count:], strict=True):
            low, high = max(start, first), min(start + size, first + length)
            if high <= low:
                return None
            lengths.append(high - low)
            offsets.append(low - first)
        return (*lengths, *offsets)


def has_areas(conds: Conds) -> bool:
    """Whether a prompt is limited to an area: then patches differ in size, and run one at a time."""
    return any(cond.get("area") is not None for group in conds if group for cond in group)
