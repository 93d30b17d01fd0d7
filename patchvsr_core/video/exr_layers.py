"""Which layers of an OpenEXR file hold which pass, by their names; reads headers without the package OpenEXR.

The names of passes are Blender's, old and new, and equivalent ones of other renderers. Source: the OpenEXR
documentation, "OpenEXR File Layout".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"v/1\x01"
SHORT = {"red": "r", "green": "g", "blue": "b", "alpha": "a"}
HEADER_START = len(MAGIC) + 4
"""After the version."""
HEADER_BYTES = 2**18
"""Headers are shorter."""
CHANNEL_BYTES = 16
"""What follows a channel's name: its type, how it is compressed and sampled."""


@dataclass(frozen=True)
class Kind:
    """Alternative names of a pass, in order of preference."""

    names: tuple[str, ...]
    """Names of the layer, without the view layer; lower case, without separators."""
    components: tuple[str, ...]
    """Alternative sets of channels, by their one-letter names."""


KINDS = {
    "Combined": (Kind(("combined", "beauty", "rgba", "rgb", "image", "c", ""), ("rgb",)),),
    "Vector": (Kind(("vector",), ("xyzw", "rgba", "xy", "rg")),),
    "Depth": (Kind(("depth", "z"), ("z", "v", "r", "x", "y")), Kind(("",), ("z",))),
    "Normal": (Kind(("normal", "normals", "n"), ("xyz", "rgb")),),
    "Diffuse Color": (Kind(("diffcol", "diffusecolor"), ("rgb",)),),
    "Glossy Color": (Kind(("glosscol", "glossycolor"), ("rgb",)),),
    "Albedo": (Kind(("albedo", "diffusealbedo", "basecolor", "denoisingalbedo"), ("rgb",)),),
}
Layers = Mapping[str, Container[str]]
"""One-letter names of channels by layer; "" without a layer."""
PassChannels = dict[str, tuple[str, str]]
"""(layer, components) of each pass of a file."""


def find_passes(layers: Layers, view_layer: str = "") -> PassChannels:
    """Find the passes of a view layer; empty when none has a Combined pass.

    Args:
        view_layer: the view layer to read; "" for the one with the most passes.
    """
    groups: dict[str, dict[str, str]] = {}
    for layer in layers:
        group, _, name = layer.rpartition(".")
        groups.setdefault(group, {}).setdefault(re.sub(r"[\s_-]", "", name).lower(), layer)
    found = {group: _of_group(layers, names) for group, names in groups.items()}
    complete = [
        channels
        for group, channels in found.items()
        if "Combined" in channels and view_layer.lower() in ("", group.lower())
    ]
    return max(complete, key=len, default={})


def _of_group(layers: Layers, names: dict[str, str]) -> PassChannels:
    pass_channels = {}
    for kind, choices in KINDS.items():
        fitting = (
            (names[name], components)
            for choice in choices
            for name in choice.names
            for components in choice.components
            if name in names and all(component in layers[names[name]] for component in components)
        )
        location = next(fitting, None)
        if location is not None:
            pass_channels[kind] = location
    return pass_channels


def passes_of(path: Path) -> PassChannels:
    """The passes in the first part of an EXR file; empty for what is no EXR file, or a damaged one."""
    return find_passes(_layers(path))


def shown_layer(path: Path) -> str:
    """The layer of an EXR file that is its picture; "" where that has none, and where none is found."""
    layers = _layers(path)
    if {"r", "g", "b"} <= layers.get("", set()):
        return ""
    return find_passes(layers).get("Combined", ("", ""))[0]


def _layers(path: Path) -> dict[str, set[str]]:
    layers: dict[str, set[str]] = {}
    for name in _channel_names(path):
        layer, _, component = name.rpartition(".")
        layers.setdefault(layer, set()).add(SHORT.get(component.lower(), component.lower()))
    return layers


def _channel_names(path: Path) -> list[str]:
    """Of the first part of a file; none for what is no EXR file, or a damaged one."""
    try:
        with path.open("rb") as file:
            data = file.read(HEADER_BYTES)
    except OSError:
        return []
    if not data.startswith(MAGIC):
        return []
    try:
        return next((_names(value) for name, value, _ in attributes(data, HEADER_START) if name == "channels"), [])
    except (IndexError, ValueError, struct.error):
        return []


def attributes(data: bytes, at: int) -> Iterator[tuple[str, bytes, int]]:
    """(name, value, where the next one begins) of each attribute of a part, from the first at ``at`` on.

    Raises:
        IndexError, ValueError, struct.error: where the header is damaged or longer than ``data``.
    """
    while data[at]:
        name, at = _word(data, at)
        _, at = _word(data, at)
        (size,) = struct.unpack_from("<I", data, at)
        value, at = data[at + 4 : at + 4 + size], at + 4 + size
        yield name, value, at


def _names(listed: bytes) -> list[str]:
    names, at = [], 0
    while listed[at]:
        name, at = _word(listed, at)
        names.append(name)
        at += CHANNEL_BYTES
    return names


def _word(data: bytes, at: int) -> tuple[str, int]:
    """A word that ends with a zero, and where the next one begins."""
    end = data.index(0, at)
    return data[at:end].decode("utf-8", "replace"), end + 1
