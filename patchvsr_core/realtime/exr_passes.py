"""Reads a sequence of multi-layer EXR files as frames and :class:`RenderPasses`.

Motion vectors of other renderers than Blender are not read: they differ in direction, unit and sign, and wrong motion
is worse than estimated motion.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from ..errors import MediaError, phrase
from ..files import sha256
from ..optical_flow.motion_vectors import flows_from_vectors
from ..progress import OnDone
from ..srgb import to_display
from ..video.exr import Picture, read_exr
from ..video.exr_layers import PassChannels, find_passes, passes_of
from ..video.info import VideoInfo
from ..video.sequence import first_image, images, is_sequence, number_of
from .gbuffers import RenderPasses

MAX_NAMED = 6
"""How many missing or found items a message lists."""


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
        ((T, h, w, 3) frames in [0, 1], transparent areas over black; (T, h, w) alpha in [0, 1], 1 in a file without, or
        None where no file has any; passes, None where the files have none). The albedo is Diffuse Color plus Glossy
        Color with the sRGB curve, and may exceed 1; depth is infinite where a ray hit nothing; normals are in world
        space, as stored.

    Raises:
        MediaError: when files are missing, damaged, of different sizes or without a Combined pass.
    """
    return read_files(frame_files(path, first, count), exposure, view_layer, on_frame)


def read_files(
    files: Sequence[Path], exposure: float = 0.0, view_layer: str = "", on_frame: OnDone | None = None
) -> tuple[Tensor, Tensor | None, RenderPasses]:
    """Read the frames and passes of these files; see :func:`read_passes`."""
    pass_channels: PassChannels = {}
    values: dict[str, Tensor] = {}
    for index, file in enumerate(files):
        picture = read_exr(file)
        if not pass_channels:
            pass_channels = _find_passes(picture, view_layer)
        for name, plane in _read(picture, pass_channels, exposure).items():
            if name not in values:
                values[name] = torch.ones(len(files), *plane.shape)  # alpha alone may be missing in some of them
            _check_size(plane, values[name][0], file, files[0])
            values[name][index] = plane
        if on_frame is not None:
            on_frame(index + 1, len(files))
    vectors = values.get("Vector")
    flows = None if vectors is None else flows_from_vectors(vectors)
    passes = RenderPasses(flows, values.get("Depth"), values.get("Normal"), values.get("Albedo"))
    return values["Combined"], values.get("Alpha"), passes


@dataclass(frozen=True)
class PassFiles:
    """The files that hold the passes of a clip, one of each frame; read as they are needed."""

    files: tuple[Path, ...]

    def read(self, first: int, count: int, *, continues: bool) -> RenderPasses:
        """Read the passes of ``count`` frames from number ``first`` on, from 0.

        Args:
            continues: whether the shot began earlier: the motion then starts with the frame before.

        Raises:
            MediaError: as :func:`read_passes` does.
        """
        _, _, passes = read_files(self.files[first - continues : first + count])
        surfaces = (passes.depth, passes.normal, passes.albedo)
        return RenderPasses(
            passes.flows, *(None if values is None else values[int(continues) :] for values in surfaces)
        )

    def check_length(self, frames: int) -> None:
        """Raise unless a clip of so many frames has a file for each.

        Raises:
            MediaError: when it has not.
        """
        if len(self.files) != frames:
            raise MediaError(
                f"{self.files[0].parent} has the passes of {len(self.files)} frames but the clip has {frames}; name "
                "those of this very clip."
            )

    def of_section(self, info: VideoInfo) -> PassFiles:
        """Those of the part of the clip that is read."""
        if info.section.is_all:
            return self
        chosen = info.section.numbers(len(self.files), info.fps, info.time_base, info.origin)
        return PassFiles(self.files[chosen.start : chosen.stop])

    @property
    def digest(self) -> str:
        """Tells these passes from others."""
        return sha256(*self.files)


def open_passes(path: str | Path, size: tuple[int, int]) -> PassFiles:
    """Find the files with the passes of a clip, and check that they fit it.

    Args:
        path: see :func:`read_passes`.
        size: (height, width) of the clip.

    Raises:
        MediaError: when they do not.
    """
    files = frame_files(path)
    picture = read_exr(files[0])
    _find_passes(picture, "")
    if picture.size != size:
        raise MediaError(
            f"{files[0].name} is {picture.size[1]}x{picture.size[0]} pixels, the clip {size[1]}x{size[0]}; render the "
            "passes at the clip's size."
        )
    return PassFiles(tuple(files))


def has_passes(path: Path) -> bool:
    """Whether an image sequence, or an image, is a multi-layer EXR whose passes can be read here."""
    if find_spec("OpenEXR") is None:
        return False
    first = first_image(path)[0] if is_sequence(path) else path
    return first.suffix.lower() == ".exr" and len(passes_of(first)) > 1


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
    found = find_passes(picture.layers, view_layer)
    if not found:
        names = [layer or phrase("the image") for layer in picture.layers]
        some = ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")
        where = phrase(f" in the view layer {view_layer}") if view_layer else ""
        raise MediaError(
            f"{picture.path.name} has no Combined pass{where}, only {some}; enable the Combined pass and render again."
        )
    return found


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
        values["Albedo"] = to_display(torch.stack(colors).sum(0).nan_to_num(0.0, posinf=1.0))
    return values


def _to_display(linear: Tensor) -> Tensor:
    return to_display(linear.nan_to_num(0.0)).clamp(0, 1)
