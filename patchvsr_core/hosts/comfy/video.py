"""Video files through the native host: found, upscaled chunk by chunk, and put into ComfyUI's output folder."""

from __future__ import annotations

import hashlib
import inspect
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy.model_management import get_torch_device
from comfy_api.latest import InputImpl, Types

from ...devices import network_dtype, precision_name
from ...errors import say
from ...finish.base_layer import starts_from_base
from ...finish.strength_map import StrengthMap
from ...plan.target_size import target_size
from ...realtime.upscaler import FastUpscaler, upscale_chunk
from ...run.cost import Stream
from ...run.job import Job
from ...run.memory import chunk_frames, streamed_frames
from ...run.oom_backoff import OOMBackoff
from ...run.video_job import upscale_file
from ...settings import Settings
from ...stages import runs_diffusion
from ...video import Picture, VideoWriter, probe, scan
from ...video.chunk_files import Encoding, check_output
from ...video.disk_space import check_space, disk_bytes
from ...video.fields import AUTO
from ...video.info import VideoInfo, with_fields
from ...video.journal import unfinished_chunks
from ...video.passthrough import write_audio
from ...video.reader import Timeline
from ...video.remux import join
from ...video.target_lock import lock_target
from ...video.writer import check_target
from ...weights import manifest
from .attention import options_of
from .file_names import fill_in_date, has_time_of_day
from .loading import liem_strength_of
from .pipeline import NativeModels, upscale_native
from .progress import check_interrupt
from .propagation import RESCALED
from .realtime import load_realtime
from .video_progress import DENOISED, FROM_BASE, RESTORED, STREAMED, Spans, VideoProgress

log = logging.getLogger("patchvsr")
FPS_DENOMINATOR = 1001
"""The largest of usual frame rates: core passes them on as floating-point numbers."""


@dataclass(frozen=True, kw_only=True)
class FileChoices:
    """What a user chooses about a file, beside the settings of its clips."""

    scale: float
    size: str | None
    """See :func:`plan.target_size.target_size`."""
    prefix: str
    """Of the file's name, as core's Save Video takes it; a run whose name has the time of day in it leaves nothing when
    it is stopped, as no later one has that name."""
    suffix: str
    """Container, or ``auto`` for the input's, or one that holds its transparency."""
    encoding: Encoding
    chunk: int
    """Frames in memory at once; 0: what memory allows."""
    overlap: int
    """Frames in which chunks fade into one another, at most a third of a chunk."""
    find_cuts: bool
    fresh: bool
    """Discard what an unfinished run left."""
    strength: StrengthMap
    """How far the result may depart from the upsampled LR input; one map for all frames."""
    fields: str = AUTO
    """What is done about interlacing, see :data:`video.fields.CHOICES`."""


def upscale_video(
    video: Any,
    models: NativeModels | None,
    settings: Settings,
    choices: FileChoices,
    *,
    notes: Mapping[str, str],
    on_notice: Callable[[str], None],
) -> Path:
    """Upscale a VIDEO into ComfyUI's output folder; a run that was stopped resumes where it was.

    Args:
        models: None: the real-time network alone, frame by frame, which has no settings.
        notes: tags for the file.
        on_notice: receives a sentence about each thing that is wrong with the input; it is logged too.

    Returns:
        the finished file.

    Raises:
        PatchVSRError: in one sentence.
    """
    source = _source_of(video)
    info = with_fields(probe(source.path), choices.fields)
    target = target_size((info.height, info.width), scale=choices.scale, size=choices.size)
    encoding = choices.encoding
    output = _output(choices.prefix, _suffix(info.path, choices.suffix, encoding.picture(info).alpha), target)
    with lock_target(output):
        check_target(output, info.path)
        check_output(output, target, info, encoding)
        timeline = source.timed(_scan(info, choices.find_cuts, on_notice))
        frames = len(timeline.timestamps)
        check_space(output, disk_bytes(output, frames, target, info, encoding))
        used = load_realtime("dap", (info.height, info.width)) if models is None else models
        chunk, overlap = _chunk(choices, frames, info, output, target, settings, used)
        job = Job(info, output, target, settings, chunk, overlap, encoding, choices.fresh, choices.strength, notes)
        dtype = used.dtype if isinstance(used, FastUpscaler) else network_dtype(get_torch_device())
        job = replace(job, precision=precision_name(dtype), is_resumable=not has_time_of_day(choices.prefix))
        _run(job, timeline, used)
    return output


def _scan(info: VideoInfo, find_cuts: bool, on_notice: Callable[[str], None]) -> Timeline:
    """Read the times of all frames; what is wrong with the file is logged, and told to whoever queued the run."""
    timeline = scan(info, find_cuts=find_cuts, on_frame=check_interrupt, strict=False)
    for notice in timeline.notices:
        log.warning(notice)
        on_notice(say(notice))
    return timeline


def _chunk(
    choices: FileChoices,
    frames: int,
    info: VideoInfo,
    output: Path,
    target: tuple[int, int],
    settings: Settings,
    used: NativeModels | FastUpscaler,
) -> tuple[int, int]:
    """(frames of a chunk, frames in which chunks fade): those chosen, of an unfinished run, or what memory allows."""
    chunk, overlap, source = choices.chunk, choices.overlap, (info.height, info.width)
    if not choices.fresh and not chunk:
        chunk, overlap = unfinished_chunks(output) or (chunk, overlap)
    if isinstance(used, FastUpscaler):
        alpha, adds = info.picture.alpha, choices.strength.has_effect
        stream = Stream(source, target, used.working_bytes(source), has_alpha=alpha, adds_to_result=adds)
        return chunk or streamed_frames(frames, stream, used.device), 0
    keeps_result = info.picture.alpha or choices.strength.has_effect
    chunk = chunk or chunk_frames(frames, source, target, used, settings, keeps_result=keeps_result)
    return chunk, min(overlap, chunk // 3)


def _run(job: Job, timeline: Timeline, models: NativeModels | FastUpscaler) -> None:
    """Make the file, with one progress bar, until the user cancels."""
    fast = isinstance(models, FastUpscaler)
    bar = VideoProgress(len(timeline.timestamps), _spans(job, models))
    upscale_file(
        replace(job, settings=None) if fast else job,
        timeline,
        models,
        work=bar.showing(upscale_chunk if fast else OOMBackoff(upscale_native)),
        weights=models.identity if isinstance(models, FastUpscaler) else _identity(models),
        report=bar,
        on_chunk=bar.next_chunk,
    )


def _spans(job: Job, models: NativeModels | FastUpscaler) -> Spans:
    if isinstance(models, FastUpscaler) or job.settings is None:
        return STREAMED
    if not runs_diffusion(job.settings, is_lossless=models.codec.is_lossless):
        return RESTORED
    return FROM_BASE if starts_from_base(models.codec) else DENOISED


def as_video(path: Path) -> Any:
    """A file as a VIDEO."""
    return InputImpl.VideoFromFile(str(path))


@dataclass(frozen=True)
class _Source:
    """The file behind a VIDEO."""

    path: Path
    fps: Fraction | None = None
    """Of frames that other nodes made: exact, where the file counts milliseconds."""

    def timed(self, timeline: Timeline) -> Timeline:
        """The times of its frames: equally far apart, where nodes made them."""
        if self.fps is None:
            return timeline
        numbers = tuple(range(len(timeline.timestamps)))
        return replace(timeline, timestamps=numbers, time_base=1 / self.fps, last_duration=1)


def _source_of(video: Any) -> _Source:
    """The file behind a VIDEO; what has none, or is only a part of one, is written to ComfyUI's temporary folder."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    if not isinstance(video, InputImpl.VideoFromFile):
        parts = video.get_components()
        fps = Fraction(parts.frame_rate).limit_denominator(FPS_DENOMINATOR)
        return _Source(_of_frames(parts, fps, _depth_of(video), folder), fps)
    source = video.get_stream_source()
    if any(_trim_window(video)):
        path = folder / f"patchvsr_part_{id(video):x}.mp4"
        lossless = {"crf": 0} if "crf" in inspect.signature(video.save_to).parameters else {}  # since ComfyUI 0.30
        video.save_to(str(path), format=Types.VideoContainer.MP4, codec=Types.VideoCodec.AUTO, **lossless)
        return _Source(path)
    if isinstance(source, str):
        return _Source(Path(source))
    data = source.getvalue()
    path = folder / f"patchvsr_{hashlib.sha256(data).hexdigest()[:16]}.mp4"
    path.write_bytes(data)
    return _Source(path)


def _trim_window(video: Any) -> tuple[float, float]:
    """First second and length of a part of a file, both 0 for all of it."""
    if hasattr(video, "get_active_trim_window"):  # since ComfyUI 0.23
        first, length = video.get_active_trim_window()
        return first, length
    return getattr(video, "_VideoFromFile__start_time", 0.0), getattr(video, "_VideoFromFile__duration", 0.0)


def _depth_of(video: Any) -> int:
    """Bits of frames that other nodes made, as Create Video was asked for them."""
    return video.get_bit_depth() if hasattr(video, "get_bit_depth") else 8  # since ComfyUI 0.25


def _of_frames(parts: Any, fps: Fraction, depth: int, folder: Path) -> Path:
    """Frames that other nodes made, without loss, and their sound."""
    frames = parts.images
    silent = folder / f"patchvsr_{id(parts):x}.mkv"
    picture = Picture(alpha=frames.shape[-1] == 4, depth=depth)
    size = int(frames.shape[1]), int(frames.shape[2])
    with VideoWriter(silent, size, range(len(frames)), 1 / fps, fps=fps, picture=picture, codec="ffv1") as writer:
        writer.write(frames)
    if not parts.audio:
        return silent
    sound, path = folder / f"patchvsr_{id(parts):x}.m4a", silent.with_stem(f"{silent.stem}_sound")
    write_audio(sound, parts.audio["waveform"][0], int(parts.audio["sample_rate"]))
    join([silent], path, range(len(frames)), 1 / fps, fps, sound)
    return path


def _suffix(source: Path, wanted: str, has_alpha: bool) -> str:
    if wanted != "auto":
        return f".{wanted}"
    own = source.suffix.lower()
    if source.parent == Path(folder_paths.get_temp_directory()):
        own = ".mp4"
    if has_alpha:
        return own if own in (".mov", ".webm", ".mkv") else ".mov"
    return own if own in (".mp4", ".mov", ".mkv", ".webm") else ".mp4"


def _output(prefix: str, suffix: str, target: tuple[int, int]) -> Path:
    """The next free name; it stays the same until the file is finished, so that a run can resume."""
    folder, name, counter, _, _ = folder_paths.get_save_image_path(
        fill_in_date(prefix, time.localtime()), folder_paths.get_output_directory(), target[1], target[0]
    )
    return Path(folder) / f"{name}_{counter:05}_{suffix}"


def _identity(models: NativeModels) -> str:
    """Changes when other models, LoRAs or prompts are connected: their files are unknown, a few numbers tell them."""
    digest = hashlib.sha256(" ".join(file["sha256"] for file in manifest()["files"].values()).encode())
    for patcher in (models.model, models.adapter, getattr(models.vae, "patcher", None), models.upscaler):
        if patcher is not None:
            _add_model(digest, patcher)
    chosen = models.model.model_options["transformer_options"]
    strength = None if models.adapter is None else liem_strength_of(models.adapter)
    digest.update(repr((options_of(chosen), chosen.get(RESCALED), strength)).encode())
    for conditioning in (models.positive, models.negative):
        for tensor, _ in conditioning or ():
            digest.update(_few(tensor))
    return f"native {digest.hexdigest()}"


def _add_model(digest: Any, patcher: Any) -> None:
    """A model as it was loaded, whatever is patched into it for the moment, and what is to be patched in."""
    kept = getattr(patcher, "backup", {})
    for name, tensor in sorted(patcher.model.state_dict().items()):
        digest.update(name.encode() + _few(kept[name].weight if name in kept else tensor))
    for name, patches in sorted(getattr(patcher, "patches", {}).items(), key=str):
        for strength, content, *_ in patches:
            weights = getattr(content, "weights", content)
            tensors = [part for part in weights if torch.is_tensor(part)] if isinstance(weights, tuple | list) else []
            digest.update(f"{name} {strength}".encode() + b"".join(map(_few, tensors)))


def _few(tensor: Any) -> bytes:
    """A few numbers of a tensor."""
    flat = tensor.detach().flatten()
    return f"{tuple(tensor.shape)} {flat[:: max(1, flat.numel() // 16)][:16].float().tolist()}".encode()
