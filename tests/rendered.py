"""Small renders, written with OpenEXR itself under the names that Blender gives its channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR

HEIGHT, WIDTH = 12, 16
CHANNELS = {
    "Combined": "RGBA",
    "Depth": "Z",
    "Vector": "XYZW",
    "Normal": "XYZ",
    "DiffCol": "RGB",
    "GlossCol": "RGB",
}
NEW_NAMES = {"DiffCol": "Diffuse Color", "GlossCol": "Glossy Color"}
"""Since Blender 5.0."""


def frame_values(seed: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> dict[str, np.ndarray]:
    """{pass: (h, w, channels) float32} of numbers that half precision holds exactly."""
    generator = np.random.default_rng(seed)
    values = {name: generator.integers(0, 33, (*size, len(letters))) / 32 for name, letters in CHANNELS.items()}
    values["Depth"] = values["Depth"] * 8 + 1
    values["Vector"] = values["Vector"] * 4 - 2
    values["Normal"] = values["Normal"] * 2 - 1
    return {name: value.astype(np.float32) for name, value in values.items()}


def channels_of(values: dict[str, np.ndarray], prefix: str = "ViewLayer.", half: bool = False) -> dict[str, np.ndarray]:
    """{channel: (h, w)}."""
    kind = np.float16 if half else np.float32
    return {
        f"{prefix}{name}.{letter}": np.ascontiguousarray(value[..., index], kind)
        for name, value in values.items()
        for index, letter in enumerate(letters_of(name))
    }


def letters_of(name: str) -> str:
    """The channels of a pass by any of its names."""
    return CHANNELS.get(name) or CHANNELS[{new: old for old, new in NEW_NAMES.items()}[name]]


def write_exr(path: Path, channels: dict[str, np.ndarray], compression: str = "ZIP", **header: object) -> Path:
    """One part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {"compression": getattr(OpenEXR, f"{compression}_COMPRESSION"), "type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(named, dict(channels)).write(str(path))
    return path


def write_parts(path: Path, parts: dict[str, dict[str, np.ndarray]], views: dict[str, str] | None = None) -> Path:
    """Several parts by name; ``views`` has the view of each."""
    headers = {name: {"view": views[name]} if views else {} for name in parts}
    made = [
        OpenEXR.Part({"type": OpenEXR.scanlineimage, **headers[name]}, dict(channels), name)
        for name, channels in parts.items()
    ]
    OpenEXR.File(made).write(str(path))
    return path


def write_shot(folder: Path, frames: int = 3, begin: int = 1, **options: object) -> list[dict[str, np.ndarray]]:
    """A sequence ``0001.exr`` and so on; answers what is in it."""
    shot = [frame_values(seed) for seed in range(frames)]
    for index, values in enumerate(shot):
        write_exr(folder / f"{begin + index:04d}.exr", channels_of(values), **options)
    return shot


def window(top: int, left: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """As a header has it: the first and the last pixel."""
    return np.array([left, top], np.int32), np.array([left + width - 1, top + height - 1], np.int32)
