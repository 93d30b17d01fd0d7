"""Image upscalers (ESRGAN, SPAN, DAT, ...) as base layer: every frame on its own, tile by tile.

Propagation along the motion makes the result steady, and back-projection makes it agree with the input, as they do
with any other base layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelError, phrase
from ..errors.finite import check_finite
from ..plan.planner import tile_axis
from ..progress import OnDone
from ..resample import resize

TILE_PX, OVERLAP_PX = 512, 32
"""Of the input; as ComfyUI's own node has them."""
SMALLEST_TILE_PX = 128


@dataclass(frozen=True, eq=False)
class ImageUpscaler:
    """A network for single images."""

    network: Callable[[Tensor], Tensor]
    """(1, 3, h, w) in [0, 1] to (1, 3, scale * h, scale * w)."""
    scale: int
    device: torch.device
    """Where it computes."""


def load_image_upscaler(path: str | Path, device: str | torch.device = "cpu") -> ImageUpscaler:
    """Load an image upscaler with spandrel, which tells by the weights what it is.

    Raises:
        ModelError: without spandrel, and for a file that it cannot read.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"There is no image upscaler at {path}; check the path.")
    try:
        spandrel = import_module("spandrel")  # optional
    except (ImportError, RuntimeError) as error:  # the latter is torchvision's, without which it does not load
        raise ModelError(
            f"{path.name} needs spandrel and torchvision, which cannot be imported ({error}); run pip install spandrel."
        ) from error
    try:
        model = spandrel.ModelLoader(device="cpu").load_from_file(path)
    except Exception as error:  # a file from a stranger may raise anything
        raise ModelError(
            f"{path.name} is no image upscaler that spandrel reads; choose an ESRGAN, SPAN, DAT or similar one."
        ) from error
    return describe(model, model.to(device).eval(), torch.device(device))


def describe(model: Any, network: Callable[[Tensor], Tensor], device: torch.device) -> ImageUpscaler:
    """An image upscaler from a descriptor of spandrel's.

    Raises:
        ModelError: for one of other pictures than RGB, and one that does not upscale.
    """
    if getattr(model, "input_channels", 3) != 3 or getattr(model, "output_channels", 3) != 3 or model.scale < 1:
        raise ModelError("The image upscaler does not take RGB pictures; choose another one.")
    return ImageUpscaler(network, int(model.scale), device)


@torch.inference_mode()
def upscale_images(
    upscaler: ImageUpscaler, frames: Tensor, target: tuple[int, int], *, on_frames: OnDone | None = None
) -> Tensor:
    """Upscale a clip by the network's own factor, but to no more than ``target``.

    Args:
        frames: (T, h, w, 3) in [0, 1].
        target: (height, width); a larger result is downsampled to it frame by frame, so that memory stays flat.
        on_frames: called after every frame; raises to stop.

    Returns:
        (T, H, W, 3) in [0, 1], where ``frames`` are.
    """
    height, width = (min(upscaler.scale * side, most) for side, most in zip(frames.shape[1:3], target, strict=True))
    out = frames.new_empty((len(frames), height, width, 3))
    tile_px = TILE_PX
    for number, frame in enumerate(frames):
        picture, tile_px = _with_back_off(upscaler, frame.movedim(-1, 0)[None].float(), tile_px)
        out[number] = resize(picture.movedim(1, -1), (height, width))[0].clamp_(0, 1).to(out)
        if on_frames:
            on_frames(number + 1, len(frames))
    return check_finite(out, phrase("image upscaler"))


def _with_back_off(upscaler: ImageUpscaler, picture: Tensor, tile_px: int) -> tuple[Tensor, int]:
    """The upscaled picture, and the size of tile that fit into memory."""
    while True:
        try:
            return _upscale_tiles(upscaler, picture, tile_px), tile_px
        except torch.OutOfMemoryError:
            if tile_px <= SMALLEST_TILE_PX:
                raise
            tile_px //= 2


def _upscale_tiles(upscaler: ImageUpscaler, picture: Tensor, tile_px: int) -> Tensor:
    """(1, 3, h, w) to (1, 3, scale * h, scale * w), cross-faded where tiles overlap."""
    scale, (height, width) = upscaler.scale, picture.shape[2:]
    out = picture.new_zeros((1, 3, scale * height, scale * width))
    rows, columns = (tile_axis(side, min(tile_px, side), min(OVERLAP_PX, side - 1)) for side in (height, width))
    for row, column in itertools.product(rows, columns):
        tile = upscaler.network(picture[..., row.cells, column.cells].to(upscaler.device)).to(out)
        down, across = row.scaled(scale), column.scaled(scale)
        out[..., down.cells, across.cells] += tile * torch.outer(down.weights(out), across.weights(out))
    return out
