"""Video files through the native host: found, upscaled chunk by chunk, and put into ComfyUI's output folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import folder_paths
from comfy.model_management import get_torch_device
from comfy_api.latest import InputImpl

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
from ...video import probe, scan
from ...video.chunk_files import Encoding, check_output
from ...video.disk_space import check_space, disk_bytes
from ...video.fields import AUTO
from ...video.info import VideoInfo, in_section, with_fields
from ...video.journal import unfinished_chunks
from ...video.reader import Timeline
from ...video.target_lock import lock_target
from ...video.writer import check_target
from .file_names import fill_in_date, has_time_of_day
from .job_identity import job_identity
from .pipeline import NativeModels, upscale_native
from .progress import check_interrupt
from .realtime import load_realtime
from .video_progress import DENOISED, FROM_BASE, RESTORED, STREAMED, Spans, VideoProgress
from .video_source import find_source

log = logging.getLogger("patchvsr")


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
    source = find_source(video)
    info = in_section(with_fields(probe(source.path), choices.fields), source.section)
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
        weights=models.identity if isinstance(models, FastUpscaler) else job_identity(models),
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
