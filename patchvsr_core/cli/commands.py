"""What the commands of the command line do."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..distributed import SINGLE, ProcessGroup
from ..errors import PlanError
from .bar import Bar, time_in_words
from .pipes import PIPE, through_pipes
from .preparation import (
    checked_input,
    chunk_lengths,
    encoding_of,
    load_engine,
    name_unused,
    probe_job,
    read_strength_map,
    resumable_chunks,
)

if TYPE_CHECKING:
    from ..plan.chunks import Chunk
    from ..run.job import Job
    from ..video import VideoInfo
    from ..video.chunk_files import Encoding
    from .engine import Engine
    from .torchrun import Launch


def upscale(options: argparse.Namespace, launch: Launch) -> None:
    """Make a file from a file, or a part of it, or join the parts."""
    name_unused(options)
    if options.fast is not None and launch.size > 1:
        raise PlanError("--fast works frame by frame in one process; run it without torchrun.")
    if PIPE in (options.input, options.output) and (options.part or options.join):
        raise PlanError("Parts of a run are joined later; name files for INPUT and OUTPUT instead of pipes.")
    if options.ray and launch.size > 1:
        raise PlanError("Ray has workers of its own; run --ray without torchrun.")
    group = launch.init_process_group(options.device)
    with through_pipes(options, launch) as chosen:
        output, start = Path(chosen.output), time.monotonic()
        with _hold(chosen, output) if group.is_leader else nullcontext():
            made = _join(chosen, output) if chosen.join else _upscale(chosen, output, group)
        name, console = (PIPE, sys.stderr) if chosen.is_piped else (str(output), sys.stdout)
        print(f"{name}: {made} in {time.monotonic() - start:.0f} s", file=console)


def _hold(options: argparse.Namespace, output: Path) -> AbstractContextManager[None]:
    """The lock of the whole output, or of a part of it."""
    from ..video.target_lock import lock_part, lock_target

    return lock_part(output, options.part.number) if options.part else lock_target(output)


def _upscale(options: argparse.Namespace, output: Path, group: ProcessGroup) -> str:
    """Make a file that no other run makes, or a part of one; returns what was made, in words."""
    from ..run.malloc import tune_malloc
    from ..run.video_job import upscale_file

    if options.ray:
        return _upscale_on_ray(options, output)
    encoding = encoding_of(options)
    info, target, timeline = group.broadcast_object(lambda: probe_job(options, output, encoding))
    engine = load_engine(options, info, target, group)
    frames = len(timeline.timestamps)
    plan_job = partial(_plan_job, options, output, (info, target, encoding), frames, engine, group)
    tune_malloc()  # before the speed is measured: it costs some
    if options.part:
        from .parts import make_part

        return make_part(options.part, plan_job, output, timeline, engine, group, _print_estimate)
    job = plan_job()
    if group.is_leader:
        from ..plan.chunks import plan_chunks

        _print_estimate(job, engine, plan_chunks(frames, (), job.chunk_frames, job.overlap_frames), frames)
    with Bar() as bar:
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
    return f"{frames} frames of {target[1]}x{target[0]}"


def _plan_job(
    options: argparse.Namespace,
    output: Path,
    probed: tuple[VideoInfo, tuple[int, int], Encoding],
    frames: int,
    engine: Engine,
    group: ProcessGroup = SINGLE,
) -> Job:
    """The job of a run, in the chunks of an unfinished one where there is one.

    Args:
        probed: the input, (height, width) of the result, and its encoding.
        frames: of the input.
    """
    from ..run.job import Job

    info, target, encoding = probed
    resumed = group.broadcast_object(lambda: resumable_chunks(options, output))
    length, overlap = resumed or chunk_lengths(options, engine, frames)
    return Job(
        info,
        output,
        target,
        engine.settings,
        length,
        overlap,
        encoding,
        options.fresh,
        read_strength_map(options),
        precision=engine.precision,
    )


def _upscale_on_ray(options: argparse.Namespace, output: Path) -> str:
    """As :func:`_upscale`, on the workers of a cluster."""
    from ..plan.chunks import plan_chunks
    from .ray_cluster import RemoteEngine, connected
    from .ray_run import upscale_on_cluster

    encoding = encoding_of(options)
    info, target, timeline = probe_job(options, output, encoding)
    frames = len(timeline.timestamps)
    with connected(options, info, target) as cluster, Bar() as bar:
        engine = RemoteEngine(cluster)
        job = _plan_job(options, output, (info, target, encoding), frames, engine)
        _print_estimate(job, engine, plan_chunks(frames, (), job.chunk_frames, job.overlap_frames), frames)
        upscale_on_cluster(cluster, job, timeline, engine, partial(bar, "chunks"))
    return f"{frames} frames of {target[1]}x{target[0]}"


def _join(options: argparse.Namespace, output: Path) -> str:
    from .parts import join

    return join(options, output)


def plan(options: argparse.Namespace, launch: Launch) -> None:
    """Print what a run would take in one process."""
    if launch.rank:
        return
    from ..plan.chunks import plan_chunks
    from ..video.chunk_files import Encoding
    from ..video.timeline import count_frames

    name_unused(options)
    info, target = checked_input(options)
    engine = load_engine(options, info, target)
    frames = count_frames(info)
    chunks = plan_chunks(frames, (), *chunk_lengths(options, engine, frames))
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


def _print_estimate(job: Job, engine: Engine, chunks: Sequence[Chunk], frames: int) -> None:
    """Print what some chunks will take, and refuse what the disk cannot hold."""
    from ..video.disk_space import check_space, disk_bytes

    disk = disk_bytes(job.output, frames, job.target, job.info, job.encoding)
    check_space(job.output, disk)
    cost = engine.cost(chunks, job.output, job.encoding)
    if cost.note:
        print(cost.note, file=sys.stderr)
    print(
        f"{frames} frames to {job.target[1]}x{job.target[0]}: about {time_in_words(cost.seconds)}, "
        f"{cost.memory_bytes / 2**30:.1f} GiB of memory beside the weights, {disk / 2**30:.2f} GiB of disk",
        file=sys.stderr,
    )
