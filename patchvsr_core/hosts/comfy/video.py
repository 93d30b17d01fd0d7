"""Video files through the native host: found, upscaled chunk by chunk, and put into ComfyUI's output folder."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.utils
import folder_paths
from comfy_api.latest import InputImpl, Types

from ...long import Job, upscale_file
from ...memory import chunk_frames
from ...settings import Settings
from ...sizes import target_size
from ...video import probe, scan
from ...video.journal import unfinished
from ...video.pieces import Encoding, check_output
from ...video.space import check_space, disk_bytes
from ...video.writer import check_target
from ...weights import manifest
from .clip import NativeModels, upscale_native
from .progress import check_interrupt

STAGES = {"encode": (0.0, 0.05), "denoise": (0.05, 0.55), "decode": (0.55, 0.6), "refine": (0.6, 0.95)}
"""Where each stage lies in the work on a chunk, roughly; what is not named comes last."""


def upscale_video(
    video: Any,
    models: NativeModels,
    settings: Settings,
    *,
    scale: float,
    size: str | None,
    prefix: str,
    suffix: str,
    encoding: Encoding,
    chunk: int,
    overlap: int,
    find_cuts: bool,
    fresh: bool,
    notes: Mapping[str, str],
) -> Path:
    """Upscale a VIDEO into ComfyUI's output folder; a run that was stopped goes on where it was.

    Args:
        suffix: container, or ``auto`` for the input's, or one that holds its transparency.
        chunk: frames in memory at once; 0: what memory allows.
        overlap: frames in which chunks fade into one another, at most a third of a chunk.
        fresh: discard what an unfinished run left.
        notes: tags for the file.

    Returns:
        the finished file.

    Raises:
        PatchVSRError: in one sentence.
    """
    info = probe(_file_of(video))
    target = target_size((info.height, info.width), scale=scale, size=size)
    output = _output(prefix, _suffix(info.path, suffix, encoding.picture(info).alpha), target)
    check_target(output, info.path)
    check_output(output, target, info, encoding)
    timeline = scan(info.path, find_cuts=find_cuts, on_frame=check_interrupt)
    frames = len(timeline.timestamps)
    check_space(output, disk_bytes(output, frames, target, info, encoding))
    left = None if fresh or chunk else unfinished(output)
    if left is not None:
        chunk, overlap = left["chunks"][:2]
    chunk = chunk or chunk_frames(frames, (info.height, info.width), target, models, settings)
    job = Job(info, output, target, settings, chunk, min(overlap, chunk // 3), encoding, fresh, notes)
    bar = _Bar()
    upscale_file(
        job, timeline, models, work=upscale_native, weights=_identity(models), report=bar, on_chunk=bar.next_chunk
    )
    return output


def as_video(path: Path) -> Any:
    """A file as a VIDEO."""
    return InputImpl.VideoFromFile(str(path))


class _Bar:
    """One bar for the whole job, which also looks whether the user cancelled."""

    def __init__(self) -> None:
        self.bar = comfy.utils.ProgressBar(1)
        self.chunk, self.chunks = 0, 1

    def next_chunk(self, number: int, total: int) -> None:
        self.chunk, self.chunks = number, total
        self._show(0.0)

    def __call__(self, stage: str, done: int, total: int) -> None:
        first, last = STAGES.get(stage, (0.95, 1.0))
        self._show(first + (last - first) * done / max(total, 1))

    def _show(self, part: float) -> None:
        check_interrupt()
        self.bar.update_absolute(round(1000 * (self.chunk + part)), 1000 * self.chunks)


def _file_of(video: Any) -> Path:
    """The file behind a VIDEO; what has none, or is only a part of one, is written to ComfyUI's temporary folder."""
    source = video.get_stream_source()
    start, duration = video.get_active_trim_window() if hasattr(video, "get_active_trim_window") else (0.0, 0.0)
    if isinstance(source, str) and not start and not duration:
        return Path(source)
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(source, io.BytesIO) and not start and not duration:
        data = source.getvalue()
        path = folder / f"patchvsr_{hashlib.sha256(data).hexdigest()[:16]}.mp4"
        path.write_bytes(data)
        return path
    path = folder / f"patchvsr_part_{id(video):x}.mp4"
    video.save_to(str(path), format=Types.VideoContainer.MP4, codec=Types.VideoCodec.AUTO)
    return path


def _suffix(source: Path, wanted: str, has_alpha: bool) -> str:
    if wanted != "auto":
        return f".{wanted}"
    own = source.suffix.lower()
    if has_alpha:
        return own if own in (".mov", ".webm", ".mkv") else ".mov"
    return own if own in (".mp4", ".mov", ".mkv", ".webm") else ".mp4"


def _output(prefix: str, suffix: str, target: tuple[int, int]) -> Path:
    """The next free name; it stays the same until the file is finished, so that a run can go on."""
    folder, name, counter, _, _ = folder_paths.get_save_image_path(
        prefix, folder_paths.get_output_directory(), target[1], target[0]
    )
    return Path(folder) / f"{name}_{counter:05}_{suffix}"


def _identity(models: NativeModels) -> str:
    """Changes when other models are connected: their files are not known, a few of their numbers are."""
    digest = hashlib.sha256()
    for part in (models.model.model, models.adapter and models.adapter.model):
        if part is not None:
            for name, tensor in sorted(part.state_dict().items()):
                digest.update(f"{name}{tuple(tensor.shape)}".encode())
                digest.update(str(tensor.flatten()[:4].float().tolist()).encode())
    refiner = manifest()["files"]["tiny_refiner.safetensors"]["sha256"]
    return f"native {digest.hexdigest()} {refiner}"
