"""Upscales video files of any length: read, made and written chunk by chunk.

Memory depends on the length of a chunk and the size of the result, never on the length of the
clip. What is finished is kept, so that a run which was stopped resumes where it was and gives the
same file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..distributed import SINGLE, ProcessGroup
from ..errors import OutputError
from ..plan.chunks import Chunk, plan_chunks
from ..progress import OnProgress
from ..video.chunk_files import chunk_suffix, join_chunks
from ..video.journal import Journal
from ..video.reader import Timeline
from .chunk_work import finish_waiting, follow_chunks, forget_damaged, make_chunks
from .job import Job, identity
from .oom_backoff import Work


def upscale_file(
    job: Job,
    timeline: Timeline,
    models: Any,
    *,
    work: Work,
    weights: str,
    report: OnProgress,
    on_chunk: Callable[[int, int], None] | None = None,
    group: ProcessGroup = SINGLE,
) -> None:
    """Make the file; finished chunks of an earlier run are kept.

    The caller holds the output: :func:`video.target_lock.lock_target`.

    Args:
        work: what is done with the frames of a chunk, such as :func:`hosts.diffusers.pipeline.upscale`. Its
            ``chunk_state`` holds what the previous chunk of the shot left, and receives what this one leaves.
        models: what it gets.
        weights: names the model, so that no other continues its run.
        report: progress within a chunk.
        on_chunk: called with (chunks done, of all) before each and at the end.
        group: processes that work on every chunk together, all called alike; the leader alone writes.

    Raises:
        MediaError, OutputError: in one sentence.
    """
    report_chunk = on_chunk or (lambda number, total: None)
    chunks = job_chunks(job, timeline)
    if not group.is_leader:
        return follow_chunks(job, timeline, chunks, models, work, group)
    journal = Journal(job.output, chunk_suffix(job.output), identity(job, chunks, weights), fresh=job.fresh)
    numbers = range(len(chunks))
    forget_damaged(journal, chunks, numbers)
    try:
        for number in make_chunks(journal, job, timeline, chunks, numbers, models, work, report, group):
            report_chunk(number, len(chunks))
        report_chunk(len(chunks), len(chunks))
        join_job(journal, job, timeline, chunks)
    except BaseException:
        if not (job.is_resumable and any(map(journal.is_done, numbers))):
            journal.remove()  # nothing to resume
        raise
    journal.remove()


def job_chunks(job: Job, timeline: Timeline) -> tuple[Chunk, ...]:
    """The chunks of a job."""
    return plan_chunks(len(timeline.timestamps), timeline.cuts, job.chunk_frames, job.overlap_frames)


def join_job(journal: Journal, job: Job, timeline: Timeline, chunks: tuple[Chunk, ...]) -> None:
    """Make one file of all chunks, unless something happened to one while others were made."""
    numbers = range(len(chunks))
    finish_waiting(journal, job, chunks, numbers)
    for number in numbers:
        if not journal.is_intact(number):
            raise OutputError(
                f"Chunk {number + 1} of {journal.output.name} was deleted or changed during the run",
                flag="start the same command again, which makes only this one anew",
                node="queue it again, which makes only this one anew",
            )
    files = [*map(journal.chunk_file, numbers)]
    join_chunks(files, job.output, timeline, job.info, job.encoding, job.notes, job.target)
