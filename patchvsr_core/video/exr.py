"""OpenEXR pictures of many layers, through the package OpenEXR, which is loaded when the first one is read.

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

from ..errors import MediaError

MAGIC = b"v/1\x01"
SHORT = {"red": "r", "green": "g", "blue": "b", "alpha": "a"}


@dataclass(frozen=True, eq=False)
class Channel:
    """One number per pixel of its data window, which may be smaller or larger than the picture."""

    pixels: np.ndarray
    row: int
    """Of the picture, where the data window begins; negative above it."""
    column: int
    sampling: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Picture:
    """What one file shows: the first of its views, if it has several."""

    path: Path
    size: tuple[int, int]
    """(height, width) of the display window."""
    layers: dict[str, dict[str, Channel]]
    """Channels by the name of their layer ("" for those that belong to none), and their own name in lower case."""

    def planes(self, layer: str, components: Sequence[str], outside: float = 0.0) -> Tensor:
        """(height, width, components) float32 of a layer.

        Args:
            outside: what stands where the file has no data.

        Raises:
            MediaError: when the file lacks one of them.
        """
        return torch.stack([self._plane(layer, component, outside) for component in components], -1)

    def _plane(self, layer: str, component: str, outside: float) -> Tensor:
        channel = self.layers.get(layer, {}).get(component)
        if channel is None:
            raise MediaError(
                f"{self.path.name} lacks the channel {component.upper()} of {layer or 'the picture'}; "
                "render all frames with the same passes."
            )
        if channel.sampling != (1, 1):
            raise MediaError(
                f"The channel {component.upper()} of {layer or 'the picture'} in {self.path.name} has fewer pixels "
                "than the picture; render to RGB, without subsampling."
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
    """All channels of a file.

    Raises:
        MediaError: when it is no EXR file, is damaged, or the package OpenEXR is not installed.
    """
    package = openexr()
    try:
        with path.open("rb") as opened:
            is_exr = opened.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror}; check the path and its permissions.") from error
    if not is_exr:
        raise MediaError(f"{path.name} is no EXR file, or an empty one; render to the format OpenEXR MultiLayer.")
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
    """The package.

    Raises:
        MediaError: when it is not installed.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise MediaError(
            f'EXR files are read with the package OpenEXR, which is missing; run "{sys.executable}" -m pip install '
            "OpenEXR, then start again."
        ) from error
    return OpenEXR


def _damaged_error(path: Path) -> MediaError:
    return MediaError(f"{path.name} is damaged or was not written to its end; render this frame again.")


def _window(window: Any) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a window, which names its first and its last pixel."""
    (left, top), (right, bottom) = ([int(value) for value in corner] for corner in window)
    return top, left, bottom - top + 1, right - left + 1


def _layers(parts: Sequence[Any], corner: tuple[int, int]) -> dict[str, dict[str, Channel]]:
    """The channels of the first view, by layer.

    Where channels of a file of several parts have no layer, it is that which their part is named after; those of the
    first part are the picture itself, too.

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
