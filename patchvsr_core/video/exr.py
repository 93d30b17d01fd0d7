"""Reads multi-layer OpenEXR images with the package OpenEXR, which is imported at the first use.

Source: the OpenEXR documentation, "Technical Introduction" (windows, parts, views) and the Beachball test images.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import MediaError, phrase
from .exr_layers import MAGIC, SHORT


@dataclass(frozen=True, eq=False)
class Channel:
    """One channel over its data window, which may be smaller or larger than the image."""

    pixels: np.ndarray
    row: int
    """First row of the data window in image coordinates; negative above the image."""
    column: int
    sampling: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Picture:
    """The layers of one file; of the first view if there are several."""

    path: Path
    size: tuple[int, int]
    """(height, width) of the display window."""
    layers: dict[str, dict[str, Channel]]
    """Channels by layer name ("" without a layer) and lower-case channel name."""

    def planes(self, layer: str, components: Sequence[str], outside: float = 0.0) -> Tensor:
        """Channels of a layer as (height, width, components) float32.

        Args:
            outside: value outside the data window.

        Raises:
            MediaError: when a channel is missing or subsampled.
        """
        return torch.stack([self._plane(layer, component, outside) for component in components], -1)

    def _plane(self, layer: str, component: str, outside: float) -> Tensor:
        channel = self.layers.get(layer, {}).get(component)
        if channel is None:
            raise MediaError(
                f"{self.path.name} lacks the channel {component.upper()} of {layer or phrase('the image')}; "
                "render all frames with the same passes."
            )
        if channel.sampling != (1, 1):
            raise MediaError(
                f"The channel {component.upper()} of {layer or phrase('the image')} in {self.path.name} is subsampled; "
                "render to RGB, without chroma subsampling."
            )
        height, width = self.size
        rows, columns = channel.pixels.shape
        top, left = max(channel.row, 0), max(channel.column, 0)
        bottom, right = min(channel.row + rows, height), min(channel.column + columns, width)
        plane = torch.full((height, width), outside)
        if top < bottom and left < right:
            inside = channel.pixels[top - channel.row : bottom - channel.row, left - channel.column :]
            inside = inside[:, : right - left].astype(np.float32)
            plane[top:bottom, left:right] = torch.from_numpy(inside)
        return plane


def read_exr(path: Path) -> Picture:
    """Read all channels of a file.

    Raises:
        MediaError: when it is not an EXR file, is damaged, or the package OpenEXR is not installed.
    """
    package = openexr()
    try:
        with path.open("rb") as opened:
            is_exr = opened.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror}; check the path and its permissions.") from error
    if not is_exr:
        raise MediaError(f"{path.name} is not an EXR file, or is empty; render to the format OpenEXR MultiLayer.")
    try:
        parts = package.File(str(path), separate_channels=True).parts
        expected = len(package.File(str(path), header_only=True).parts)
    except (RuntimeError, ValueError) as error:
        raise _damaged_error(path) from error
    if not parts or len(parts) < expected:
        raise _damaged_error(path)
    top, left, height, width = _window(parts[0].header["displayWindow"])
    return Picture(path, (height, width), _layers(parts, (top, left)))


def openexr() -> Any:
    """Import the package OpenEXR.

    Raises:
        MediaError: when it is not installed.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise MediaError(
            f'Reading EXR files needs the package OpenEXR, which is missing; run "{sys.executable}" -m pip install '
            "OpenEXR, then start again."
        ) from error
    return OpenEXR


def _damaged_error(path: Path) -> MediaError:
    return MediaError(f"{path.name} is damaged or incomplete; render this frame again.")


def _window(window: Any) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a window given by its first and last pixel."""
    (left, top), (right, bottom) = ([int(value) for value in corner] for corner in window)
    return top, left, bottom - top + 1, right - left + 1


def _layers(parts: Sequence[Any], corner: tuple[int, int]) -> dict[str, dict[str, Channel]]:
    """The channels of the first view, by layer.

    In multi-part files, channels without a layer get the name of their part as the layer; those of the first part
    are also available under "".

    Args:
        corner: first row and column of the display window.
    """
    views = list(parts[0].header.get("multiView", ())) or [part.header.get("view") for part in parts]
    shown = next((view for view in views if view), None)
    hidden = {view for view in views if view != shown}
    layers: dict[str, dict[str, Channel]] = {}
    for position, part in enumerate(parts):
        if part.header.get("view", shown) != shown or "deep" in str(part.header.get("type")):
            continue
        row, column, *_ = _window(part.header["dataWindow"])
        for name, values in part.channels.items():
            *path, component = name.split(".")
            if hidden.intersection(path):
                continue
            sampling = values.xSampling, values.ySampling
            channel = Channel(values.pixels, row - corner[0], column - corner[1], sampling)
            owners = [".".join(word for word in path if word != shown)]
            if not path and len(parts) > 1:
                owners = [str(part.name()).removesuffix(f"_{shown}")] + [""] * (position == 0)
            for owner in owners:
                key = component.lower()
                layers.setdefault(owner, {}).setdefault(SHORT.get(key, key), channel)
    return layers
