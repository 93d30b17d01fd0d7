"""Parts of a run on the command line: ``--part K/N`` and ``--join``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from ..distributed import ProcessGroup
from ..errors import OutputError
from ..plan.chunks import Chunk
from ..run.job import Job
from ..run.parts import join_parts, open_part, upscale_part
from ..run.shares import Part, plan_shares
from ..run.video_job import job_chunks
from ..video.journal import read_unfinished, unfinished_chunks
from ..video.reader import Timeline
from ..video.target_lock import lock_setup
from .bar import Bar
from .engine import Engine
from .flags import chosen_settings
from .preparation import encoding_of, probe_job, read_strength_map

PrintEstimate = Callable[[Job, Engine, Sequence[Chunk], int], None]


def make_part(
    part: Part,
    plan_job: Callable[[], Job],
    output: Path,
    timeline: Timeline,
    engine: Engine,
    group: ProcessGroup,
    print_estimate: PrintEstimate,
) -> str:
    """Make the chunks of a part that are not finished yet; returns what was made, in words."""
    with lock_setup(output) if group.is_leader else nullcontext():  # the first part decides about the chunks
        job = plan_job()
        journal = None
        if group.is_leader:
            journal = open_part(job, timeline, engine.identity, part, whole_shots=engine.carries_state)
    chunks = job_chunks(job, timeline)
    share = plan_shares(chunks, part.count, whole_shots=engine.carries_state)[part.number - 1]
    frames = sum(chunks[number].length - chunks[number].lead for number in share)
    if share and group.is_leader:
        print_estimate(job, engine, [chunks[number] for number in share], frames)
    with Bar() as bar:
        upscale_part(
            journal,
            job,
            timeline,
            share,
            engine.models,
            work=engine.work,
            report=bar,
            on_chunk=bar.next_chunk,
            group=group,
        )
    return f"part {part} is finished, {len(share)} of {len(chunks)} chunks with {frames} frames,"


def join(options: argparse.Namespace, output: Path) -> str:
    """Join the parts of a file; returns what was made, in words.

    Raises:
        OutputError: when there are none, some lack, or they were made with other settings.
    """
    record = read_unfinished(output)
    if record is None:
        raise OutputError(
            f"There are no parts of {output} to join; run them with --part K/N and the same INPUT and OUTPUT first."
        )
    encoding = encoding_of(options)
    info, target, timeline = probe_job(options, output, encoding)
    length, overlap = unfinished_chunks(output) or (0, 0)
    job = Job(info, output, target, None, length, overlap, encoding, strength=read_strength_map(options))
    join_parts(job, timeline, record, {} if options.fast else chosen_settings(vars(options)))
    return f"{len(timeline.timestamps)} frames of {target[1]}x{target[0]}, joined"
