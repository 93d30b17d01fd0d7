"""Reads a sequence of multi-layer EXR files as frames and :class:`RenderPasses`.

The names of passes are Blender's, old and new, and equivalent ones of other renderers. Motion vectors of other
renderers are not read: they differ in direction, unit and sign, and wrong motion is worse than estimated motion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import MediaError, phrase
from ..optical_flow.motion_vectors import flows_from_vectors
from ..progress import OnDone
from ..video.exr import Picture, read_exr
from ..video.sequence import images, is_sequence, number_of, to_display
from .gbuffers import RenderPasses


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
MAX_NAMED = 6
"""How many missing or found items a message lists."""
PassChannels = dict[str, tuple[str, str]]
"""(layer, components) of each pass of a file."""


def read_passes(
    path: str | Path,
    first: int = 0,
    count: int = 0,
    exposure: float = 0.0,
    view_layer: str = "",
    on_frame: OnDone | None = None,
) -> tuple[Tensor, Tensor | None, RenderPasses]:
    """Read display-referred frames and their render passes.

    Combined and the material colours are scene-linear (Rec. 709) in the files and get the sRGB curve, which is
    Blender's view transform Standard, because networks are trained on display-referred images.

    Args:
        path: a folder of EXR files, a pattern such as ``shot_%04d.exr`` or ``shot_####.exr``, or a single file.
        first: number of the first frame, as in the file names; earlier ones are skipped.
        count: maximum number of frames; 0 for all.
        exposure: in stops, applied to Combined before the curve.
        view_layer: the view layer to read; "" for the one with the most passes.
        on_frame: called with (frames read, total frames).

    Returns:
        ((T, h, w, 3) frames in [0, 1], transparent areas over black; (T, h, w) alpha in [0, 1] or None; passes, None
        where the files have none). The albedo is Diffuse Color plus Glossy Color with the sRGB curve; depth is
        infinite where a ray hit nothing; normals are in world space, as stored.

    Raises:
        MediaError: when files are missing, damaged, of different sizes or without a Combined pass.
    """
    files = frame_files(path, first, count)
    pass_channels: PassChannels = {}
    values: dict[str, Tensor] = {}
    for index, file in enumerate(files):
        picture = read_exr(file)
        if not pass_channels:
            pass_channels = _find_passes(picture, view_layer)
        for name, plane in _read(picture, pass_channels, exposure).items():
            if name not in values:
                values[name] = torch.empty(len(files), *plane.shape)
            _check_size(plane, values[name][0], file, files[0])
            values[name][index] = plane
        if on_frame is not None:
            on_frame(index + 1, len(files))
    vectors = values.get("Vector")
    flows = None if vectors is None else flows_from_vectors(vectors)
    passes = RenderPasses(flows, values.get("Depth"), values.get("Normal"), values.get("Albedo"))
    return values["Combined"], values.get("Alpha"), passes


def _check_size(plane: Tensor, first_plane: Tensor, file: Path, first_file: Path) -> None:
    if plane.shape != first_plane.shape:
        raise MediaError(
            f"{file.name} is {plane.shape[1]}x{plane.shape[0]} pixels, {first_file.name} is "
            f"{first_plane.shape[1]}x{first_plane.shape[0]}; render all frames at one size."
        )


def frame_files(path: str | Path, first: int = 0, count: int = 0) -> list[Path]:
    """List the files of a sequence in the order of their numbers; see :func:`read_passes`.

    Raises:
        MediaError: when there are none, or one is missing in between.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if "#" in path.name and not path.exists():
        path = path.with_name(re.sub("#+", lambda found: f"%0{len(found[0])}d", path.name))
    if not is_sequence(path):
        raise MediaError(f"There is no {path}; name a folder of EXR files, a pattern such as shot_%04d.exr, or a file.")
    files = images(path, ".exr")
    numbered: dict[int, Path] = {}
    for file in files:
        number = number_of(file, path)
        if number is None and len(files) > 1:
            raise MediaError(f"{file.name} has no number, so its position is unknown; give a pattern without it.")
        if number in numbered:
            raise MediaError(
                f"{numbered[number].name} and {file.name} both have number {number}; give a pattern for one of them, "
                "such as shot_%04d.exr."
            )
        numbered[number or 0] = file
    return _require_contiguous(numbered, path, first, count)


def _require_contiguous(numbered: dict[int, Path], path: Path, first: int, count: int) -> list[Path]:
    begin, last = max(first, min(numbered)), max(numbered)
    if begin > last:
        raise MediaError(f"{path} ends with frame {last}, before frame {first}; choose an earlier first frame.")
    end = min(begin + count - 1, last) if count else last
    missing = [number for number in range(begin, end + 1) if number not in numbered]
    if missing:
        some = ", ".join(str(number) for number in missing[:MAX_NAMED]) + (", ..." if len(missing) > MAX_NAMED else "")
        raise MediaError(
            f"{len(missing)} of the frames {begin} to {end} in {path} are missing ({some}); render them, as motion "
            "vectors connect consecutive frames."
        )
    return [numbered[number] for number in range(begin, end + 1)]


def _find_passes(picture: Picture, view_layer: str) -> PassChannels:
    """Find the passes of a view layer.

    Raises:
        MediaError: when there is no Combined pass.
    """
    groups: dict[str, dict[str, str]] = {}
    for layer in picture.layers:
        group, _, name = layer.rpartition(".")
        groups.setdefault(group, {}).setdefault(re.sub(r"[\s_-]", "", name).lower(), layer)
    found = {group: _of_group(picture, names) for group, names in groups.items()}
    complete = {group: pass_channels for group, pass_channels in found.items() if "Combined" in pass_channels}
    if view_layer:
        complete = {
            group: pass_channels for group, pass_channels in complete.items() if group.lower() == view_layer.lower()
        }
    if not complete:
        names = [layer or phrase("the image") for layer in picture.layers]
        some = ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")
        where = phrase(f" in the view layer {view_layer}") if view_layer else ""
        raise MediaError(
            f"{picture.path.name} has no Combined pass{where}, only {some}; enable the Combined pass and render again."
        )
    return max(complete.values(), key=len)


def _of_group(picture: Picture, names: dict[str, str]) -> PassChannels:
    pass_channels = {}
    for kind, choices in KINDS.items():
        fitting = (
            (names[name], components)
            for choice in choices
            for name in choice.names
            for components in choice.components
            if name in names and all(component in picture.layers[names[name]] for component in components)
        )
        location = next(fitting, None)
        if location is not None:
            pass_channels[kind] = location
    return pass_channels


def _read(picture: Picture, pass_channels: PassChannels, exposure: float) -> dict[str, Tensor]:
    """Read the passes of one frame: (h, w, C), or (h, w) for alpha and depth."""
    layer, _ = pass_channels["Combined"]
    values = {"Combined": _to_display(picture.planes(*pass_channels["Combined"]) * 2.0**exposure)}
    if "a" in picture.layers.get(layer, ()):
        values["Alpha"] = picture.planes(layer, "a")[..., 0].nan_to_num(0.0).clamp(0, 1)
    if "Vector" in pass_channels:
        values["Vector"] = picture.planes(*pass_channels["Vector"])
    if "Depth" in pass_channels:
        distance = picture.planes(*pass_channels["Depth"], outside=torch.inf)[..., 0]
        values["Depth"] = distance.where(distance != 0, torch.inf)
    if "Normal" in pass_channels:
        values["Normal"] = picture.planes(*pass_channels["Normal"]).nan_to_num(0.0).clamp(-1, 1)
    colors = [
        picture.planes(*pass_channels[name]) for name in ("Diffuse Color", "Glossy Color") if name in pass_channels
    ]
    if not colors and "Albedo" in pass_channels:
        colors = [picture.planes(*pass_channels["Albedo"])]
    if colors:
        values["Albedo"] = _to_display(torch.stack(colors).sum(0))
    return values


def _to_display(linear: Tensor) -> Tensor:
    return to_display(linear.nan_to_num(0.0)).clamp(0, 1)
