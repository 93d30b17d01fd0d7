"""What the commands of the command line do."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tqdm import tqdm

from ..distributed import SINGLE, ProcessGroup
from ..errors import PlanError
from ..plan.target_size import target_size
from .pipes import PIPE, through_pipes

if TYPE_CHECKING:
    from ..finish.strength_map import StrengthMap
    from ..run.video_job import Job
    from ..video import VideoInfo
    from ..video.chunk_files import Encoding
    from ..video.reader import Timeline
    from .engine import Engine
    from .torchrun import Launch

BAR = "{desc}|{bar}| {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}]"
UNITS = {
    "base": "frames",
    "encode": "tiles",
    "denoise": "patches x steps",
    "decode": "tiles",
    "refine": "frames",
    "fidelity": "frames",
    "upscale": "frames",
}


FOR_DIFFUSION = ("model", "chunk_overlap")
"""Options beside settings and files that have no effect on a real-time network."""


def upscale(options: argparse.Namespace, launch: Launch) -> None:
    """Make a file from a file."""
    from ..video.target_lock import lock_target

    _name_unused(options)
    if options.fast is not None and launch.size > 1:
        raise PlanError("--fast works frame by frame in one process; run it without torchrun.")
    group = launch.init_process_group(options.device)
    with through_pipes(options, launch) as chosen:
        output = Path(chosen.output)
        with lock_target(output) if group.is_leader else nullcontext():
            _upscale(chosen, output, group)


def _upscale(options: argparse.Namespace, output: Path, group: ProcessGroup) -> None:
    """Make a file that no other run makes."""
    from ..run.malloc import tune_malloc
    from ..run.video_job import Job, upscale_file
    from ..video.chunk_files import Encoding

    encoding = Encoding(
        crf=options.crf,
        codec=options.codec,
        depth=options.depth,
        alpha=not options.no_alpha,
        subtitles=not options.no_subtitles,
        audio=options.audio,
    )
    info, target, timeline = group.broadcast_object(lambda: _probe_job(options, output, encoding))
    engine = _engine(options, info, target, group)
    frames = len(timeline.timestamps)
    resumed = group.broadcast_object(lambda: _resumable_chunks(options, output))
    length, overlap = resumed or _chunks(options, engine, frames)
    strength = _strength(options)
    job = Job(info, output, target, engine.settings, length, overlap, encoding, options.fresh, strength)
    tune_malloc()  # before the speed is measured: it costs some
    if group.is_leader:
        _print_estimate(job, engine, frames)
    start = time.monotonic()
    with _Bar() as bar:
        upscale_file(
            job,
            timeline,
            engine.models,
            work=engine.work,
            weights=engine.identity,
            report=bar,
            on_chunk=bar.next_chunk,
            group=group,
        )
    seconds = time.monotonic() - start
    name, console = (PIPE, sys.stderr) if options.is_piped else (str(output), sys.stdout)
    print(f"{name}: {frames} frames of {target[1]}x{target[0]} in {seconds:.0f} s", file=console)


def _strength(options: argparse.Namespace) -> StrengthMap:
    from ..finish.strength_map import StrengthMap
    from ..video import read_frames

    if options.strength_map is None:
        return StrengthMap()
    return StrengthMap(map=read_frames(options.strength_map, count=1)[..., :3].mean(-1))


def _probe_job(
    options: argparse.Namespace, output: Path, encoding: Encoding
) -> tuple[VideoInfo, tuple[int, int], Timeline]:
    """(input, size of the result, times of its frames); raises now for what cannot be read or written."""
    from ..video import scan
    from ..video.chunk_files import check_output
    from ..video.sequence import check_no_stale_images, is_sequence, numbers
    from ..video.writer import check_target

    info, target = _checked_input(options)
    check_target(output, info.path)
    check_output(output, target, info, encoding)
    timeline = scan(info, find_cuts=not options.no_cuts, strict=options.strict)
    for notice in timeline.notices:
        print(f"patchvsr: {notice}", file=sys.stderr)
    if is_sequence(output):
        check_no_stale_images(output, numbers(info.path, len(timeline.timestamps)))
    return info, target, timeline


def _checked_input(options: argparse.Namespace) -> tuple[VideoInfo, tuple[int, int]]:
    """(input, size of the result); raises for what can be neither planned nor upscaled."""
    from ..video import probe, read_frames
    from ..video.info import with_fields

    info = with_fields(probe(options.input), options.fields)
    target = target_size((info.height, info.width), scale=options.scale, size=options.size)
    read_frames(info.path, count=1)
    return info, target


def plan(options: argparse.Namespace, launch: Launch) -> None:
    """Print what a run would take in one process."""
    if launch.rank:
        return
    from ..plan.chunks import plan_chunks
    from ..video.chunk_files import Encoding
    from ..video.timeline import count_frames

    _name_unused(options)
    info, target = _checked_input(options)
    engine = _engine(options, info, target)
    frames = count_frames(info)
    chunks = plan_chunks(frames, (), *_chunks(options, engine, frames))
    cost = engine.cost(chunks, _temporary_folder() / "plan.mp4", Encoding(alpha=False))
    longest = max(chunk.length for chunk in chunks)
    rows = [
        ("input", f"{info.width}x{info.height}, {frames} frames, {float(info.fps):g} frames/s"),
        *([("fields", info.fields.sentence(info.path.name))] if info.fields.is_found else []),
        ("output", f"{target[1]}x{target[0]}"),
        ("chunks", f"{len(chunks)} of up to {longest} frames, and more at cuts"),
        *cost.details,
        ("memory", f"about {cost.memory_bytes / 2**30:.2f} GiB beside the weights"),
        ("time", f"about {cost.seconds:.0f} s on {engine.models.device}"),
    ]
    if cost.note:
        rows.append(("note", cost.note))
    for name, text in rows:
        print(f"{name:10} {text}")


def _temporary_folder() -> Path:
    """Where a plan, which has no output, measures how long writing takes; the current folder where there is none."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return Path()


def doctor(options: argparse.Namespace, launch: Launch) -> None:
    """Print what works here."""
    from .doctor import report

    report(options.device, options.comfyui)


def _engine(
    options: argparse.Namespace, info: VideoInfo, target: tuple[int, int], group: ProcessGroup = SINGLE
) -> Engine:
    """Load what does the work."""
    if options.fast is None:
        from .diffusion_engine import diffusion_engine

        return diffusion_engine(info, target, vars(options), group)
    from .realtime_engine import fast_engine

    return fast_engine(info, target, options.fast, options.device)


def _name_unused(options: argparse.Namespace) -> None:
    """Print which of the given options have no effect on a real-time network."""
    from ..settings import MODEL_FILES, OPTIONS, flag_of

    if options.fast is None:
        return
    flags = {name: flag_of(name, chosen) for name, chosen in OPTIONS.items()}
    flags |= {name: f"--{name.replace('_', '-')}" for name in (*MODEL_FILES, *FOR_DIFFUSION)}
    given = sorted(flag for name, flag in flags.items() if getattr(options, name, None) is not None)
    if given:
        verb = "has" if len(given) == 1 else "have"
        print(f"patchvsr: {', '.join(given)} {verb} no effect with --fast.", file=sys.stderr)


def _chunks(options: argparse.Namespace, engine: Engine, frames: int) -> tuple[int, int]:
    """(frames in a chunk, frames of overlap)."""
    return engine.chunks(frames, options.chunk_frames, options.chunk_overlap)


def _resumable_chunks(options: argparse.Namespace, output: Path) -> tuple[int, int] | None:
    """Those of an unfinished run, unless the user chose some."""
    from ..video.journal import unfinished_chunks

    chosen = options.fresh or options.chunk_frames is not None or options.chunk_overlap is not None
    return None if chosen else unfinished_chunks(output)


def _print_estimate(job: Job, engine: Engine, frames: int) -> None:
    """Print what the run will take, and refuse what the disk cannot hold."""
    from ..plan.chunks import plan_chunks
    from ..video.disk_space import check_space, disk_bytes

    disk = disk_bytes(job.output, frames, job.target, job.info, job.encoding)
    check_space(job.output, disk)
    cost = engine.cost(plan_chunks(frames, (), job.chunk_frames, job.overlap_frames), job.output, job.encoding)
    if cost.note:
        print(cost.note, file=sys.stderr)
    print(
        f"{frames} frames to {job.target[1]}x{job.target[0]}: about {_time(cost.seconds)}, "
        f"{cost.memory_bytes / 2**30:.1f} GiB of memory beside the weights, {disk / 2**30:.2f} GiB of disk",
        file=sys.stderr,
    )


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Bar:
    """A progress bar for each stage in turn."""

    def __enter__(self) -> _Bar:
        self.stage = self.chunk = ""
        self.bar: tqdm[None] | None = None
        return self

    def next_chunk(self, number: int, total: int) -> None:
        """Number the chunks, where there are several."""
        if number < total > 1:
            self.stage, self.chunk = "", f"chunk {number + 1}/{total} "

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self.bar is None or stage != self.stage:
            self._close()
            self.stage = stage
            name = f"{self.chunk}{stage:8}"
            self.bar = tqdm(desc=name, total=total, unit=UNITS[stage], dynamic_ncols=True, bar_format=BAR)
        self.bar.update(done - self.bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
            sys.stderr.flush()
