"""One job in parts: each makes its share of the chunks, on any machine that sees the output's folder, and one joins.

Parts run side by side or one after the other, in any order, and as often as a render farm likes; what is finished is
kept. The record of the job, which the first of them writes, says into how many parts it is divided.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..distributed import SINGLE, ProcessGroup
from ..errors import OutputError
from ..files import commit_file
from ..plan.chunks import Chunk
from ..progress import OnProgress
from ..video.chunk_files import chunk_suffix
from ..video.journal import Journal, read_json, read_unfinished
from ..video.reader import Timeline
from .chunk_work import finish_waiting, follow_chunks, forget_damaged, make_chunks
from .job import Job, identity
from .oom_backoff import Work
from .shares import Part, Share, plan_shares
from .video_job import job_chunks, join_job

DIVISION = "parts.json"
"""In the journal's folder: how the job is divided."""


def open_part(job: Job, timeline: Timeline, weights: str, part: Part, *, whole_shots: bool) -> Journal:
    """The journal that all parts of a job write to; the first of them begins it.

    ``fresh`` of the job discards what other settings left, and of its own parts only this one's chunks.

    Args:
        weights: names the model.
        whole_shots: chunks of a shot carry a state from one to the next.

    Raises:
        OutputError: when the output was begun with other settings, or divided in another way.
    """
    chunks = job_chunks(job, timeline)
    wanted = identity(job, chunks, weights)
    is_same = read_unfinished(job.output) == json.loads(json.dumps(wanted))
    journal = Journal(job.output, chunk_suffix(job.output), wanted, fresh=job.fresh and not is_same)
    division = {"count": part.count, "whole_shots": whole_shots}
    found = read_json(journal.folder / DIVISION)
    if not _is_division(found):
        _write_division(journal, division)
    elif found != division:
        raise OutputError(
            f"{job.output.name} is divided into {found['count']} parts, and this is one of {part.count}; run all "
            "parts with the same number, or choose another name for the result."
        )
    if job.fresh and is_same:
        for number in plan_shares(chunks, part.count, whole_shots=whole_shots)[part.number - 1]:
            journal.discard(number)
    return journal


def upscale_part(
    journal: Journal | None,
    job: Job,
    timeline: Timeline,
    share: Share,
    models: Any,
    *,
    work: Work,
    report: OnProgress,
    on_chunk: Callable[[int, int], None],
    group: ProcessGroup = SINGLE,
) -> None:
    """Make the chunks of a share that are not finished yet.

    Only the leader of a group has the journal; the others work on the chunks that it names. The caller holds the
    part: :func:`video.target_lock.lock_part`.

    Args:
        work, models, report, group: see :func:`run.video_job.upscale_file`.
        on_chunk: called with (chunks done, of the share) before each and at the end.

    Raises:
        MediaError, OutputError: in one sentence.
    """
    chunks = job_chunks(job, timeline)
    if journal is None:
        return follow_chunks(job, timeline, chunks, models, work, group)
    forget_damaged(journal, chunks, share)
    for number in make_chunks(journal, job, timeline, chunks, share, models, work, report, group):
        on_chunk(share.index(number), len(share))
    finish_waiting(journal, job, chunks, share)
    on_chunk(len(share), len(share))


def join_parts(job: Job, timeline: Timeline, record: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Make the file of all parts.

    The caller holds the output: :func:`video.target_lock.lock_target`.

    Args:
        job: with the chunks of ``record``; its settings do not matter.
        record: what the parts depend on, see :func:`video.journal.read_unfinished`; no model is needed.
        settings: those that the user chose again; they must be those of the parts.

    Raises:
        OutputError: naming the parts that are not finished, or what differs from ``record``.
    """
    chunks = job_chunks(job, timeline)
    wanted = identity(replace(job, precision=record["precision"]), chunks, record["weights"])
    wanted["settings"] = {**record["settings"], **settings}
    journal = Journal(job.output, chunk_suffix(job.output), wanted)
    lacking = _lacking(journal, chunks)
    if lacking:
        raise OutputError(_name_parts(job.output, lacking, read_json(journal.folder / DIVISION), chunks))
    join_job(journal, job, timeline, chunks)
    journal.remove()


def _lacking(journal: Journal, chunks: Sequence[Chunk]) -> set[int]:
    """Chunks that some part has to make, or to make again for the next one."""
    lacking = set()
    for number in range(len(chunks)):
        if journal.is_waiting(number):
            lacking |= set() if journal.has_tail(number - 1) else {number - 1}
        elif not journal.is_intact(number):
            lacking.add(number)
    return lacking


def _name_parts(output: Path, lacking: set[int], division: Any, chunks: Sequence[Chunk]) -> str:
    """Which parts have to run, and how."""
    if not _is_division(division):
        return (
            f"{len(lacking)} of {len(chunks)} chunks of {output.name} are not finished; run the command without --join."
        )
    count = division["count"]
    shares = plan_shares(chunks, count, whole_shots=division["whole_shots"])
    parts = [str(Part(k + 1, count)) for k, share in enumerate(shares) if lacking & {*share}]
    which = f"Part {parts[0]}" if len(parts) == 1 else f"Parts {', '.join(parts[:-1])} and {parts[-1]}"
    verb, these = ("is", "it") if len(parts) == 1 else ("are", "them")
    return f"{which} of {output.name} {verb} not finished; run {these} with --part, and then --join again."


def _write_division(journal: Journal, division: dict[str, Any]) -> None:
    partial = journal.folder / f"{DIVISION}.part"
    try:
        partial.write_text(json.dumps(division), encoding="utf-8")
        commit_file(partial, journal.folder / DIVISION)
    except OSError as error:
        raise OutputError(f"{journal.folder} cannot be written ({error.strerror}); choose another folder.") from error


def _is_division(found: Any) -> bool:
    return isinstance(found, dict) and type(found.get("count")) is int and type(found.get("whole_shots")) is bool
