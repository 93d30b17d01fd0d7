"""Upscales video files of any length: read, made and written chunk by chunk.

Memory depends on the length of a chunk and the size of the result, never on the length of the
clip. What is finished is kept, so that a run which was stopped resumes where it was and gives the
same file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..distributed import SINGLE, ProcessGroup
from ..errors import MediaError, OutputError
from ..files import sha256
from ..finish.strength_map import StrengthMap, apply_strength_map
from ..plan.chunks import Chunk, ChunkState, cross_fade, plan_chunks
from ..progress import OnProgress
from ..settings import Settings
from ..vae.encode import seeded_noise
from ..version import VERSION
from ..video.chunk_files import Encoding, chunk_suffix, join_chunks, write_chunk
from ..video.info import VideoInfo
from ..video.journal import Journal
from ..video.reader import Timeline, iter_frames, to_tensor
from ..video.sequence import images, is_sequence
from .alpha import shown, with_extras
from .malloc import trim_malloc
from .oom_backoff import Work

log = logging.getLogger("patchvsr")


@dataclass(frozen=True)
class Job:
    """One file to make from another."""

    info: VideoInfo
    output: Path
    target: tuple[int, int]
    """(height, width) of the result."""
    settings: Settings | None
    """None for what has no choices: a real-time network."""
    chunk_frames: int
    overlap_frames: int
    """Frames in which successive chunks of a shot fade into one another."""
    encoding: Encoding = field(default=Encoding())
    fresh: bool = False
    """Discard what an unfinished run left."""
    strength: StrengthMap = field(default=StrengthMap())
    """How far the result may depart from the upsampled input; one map for all frames."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Tags to write into the file; the result does not depend on them."""
    is_resumable: bool = True
    """Whether the same job may come again; if not, an unfinished run leaves nothing behind."""


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
    chunks = plan_chunks(len(timeline.timestamps), timeline.cuts, job.chunk_frames, job.overlap_frames)
    if not group.is_leader:
        return _follow(job, timeline, chunks, models, work, group)
    journal = Journal(job.output, chunk_suffix(job.output), _identity(job, chunks, weights), fresh=job.fresh)
    _forget_damaged(journal, chunks)
    todo = group.broadcast_object(lambda: [number for number in range(len(chunks)) if not journal.is_done(number)])
    frames = _Window(job.info, timeline)
    try:
        for number in todo:
            report_chunk(number, len(chunks))
            chunk_state = group.broadcast_object(partial(_chunk_state, journal, chunks, number))
            make = partial(work, noise=partial(chunk_noise, chunks, number, _seed(job)), chunk_state=chunk_state)
            if job.strength.has_effect:
                make = partial(_held, job.strength, make)
            taken = frames.take(chunks[number])  # the result has no name: it is gone before the next one is made
            made = partial(with_extras, make, taken, job.target, models, job.settings, report)
            _keep(journal, job, chunks, number, made(), chunk_state)
            trim_malloc()
        report_chunk(len(chunks), len(chunks))
        _join(journal, job, timeline, len(chunks))
    except BaseException:
        if not (job.is_resumable and any(map(journal.is_done, range(len(chunks))))):
            journal.remove()  # nothing to resume
        raise
    journal.remove()


def _follow(
    job: Job, timeline: Timeline, chunks: tuple[Chunk, ...], models: Any, work: Work, group: ProcessGroup
) -> None:
    """What the others do while the leader makes the file: they work on the chunks that it names."""
    frames = _Window(job.info, timeline)
    for number in group.broadcast_object(list[int]):
        chunk_state = group.broadcast_object(ChunkState)
        noise = partial(chunk_noise, chunks, number, _seed(job))
        taken = shown(frames.take(chunks[number]))
        work(taken, job.target, models, job.settings, lambda *_: None, noise=noise, chunk_state=chunk_state)
        trim_malloc()


def _held(strength: StrengthMap, make: Callable[..., Tensor], frames: Tensor, *others: Any) -> Tensor:
    return apply_strength_map(make(frames, *others), frames, strength)


def _seed(job: Job) -> int:
    return job.settings.seed if job.settings else 0


def _forget_damaged(journal: Journal, chunks: tuple[Chunk, ...]) -> None:
    """After a power cut or by a faulty disk, files are damaged; and a chunk needs what the one before left."""
    for number in range(len(chunks)):
        if journal.is_intact(number):
            continue
        if journal.is_done(number) or journal.chunk_file(number).exists():
            log.warning("Chunk %d of %s is damaged or incomplete; it is made again.", number + 1, journal.output.name)
        journal.discard(number)
    for number in range(len(chunks)):
        needed = chunks[number].continues_shot and not journal.is_done(number) and journal.is_done(number - 1)
        if needed and not journal.has_tail(number - 1):
            for earlier in range(number - _place_in_shot(chunks, number), number):
                journal.discard(earlier)


def _join(journal: Journal, job: Job, timeline: Timeline, count: int) -> None:
    """Make one file of all chunks, unless something happened to one while others were made."""
    for number in range(count):
        if not journal.is_intact(number):
            raise OutputError(
                f"Chunk {number + 1} of {journal.output.name} was deleted or changed during the run",
                flag="start the same command again, which makes only this one anew",
                node="queue it again, which makes only this one anew",
            )
    files = [*map(journal.chunk_file, range(count))]
    join_chunks(files, job.output, timeline, job.info, job.encoding, job.notes, job.target)


def _own_frames(chunks: tuple[Chunk, ...], number: int) -> int:
    """How many frames of a chunk go into its piece; the next one begins with the others."""
    following = chunks[number + 1].lead if number + 1 < len(chunks) else 0
    return chunks[number].length - following


@torch.inference_mode()
def _keep(
    journal: Journal, job: Job, chunks: tuple[Chunk, ...], number: int, result: Tensor, chunk_state: ChunkState
) -> None:
    """Fade in from the chunk before, and store what is final; the rest waits for the chunk after."""
    chunk = chunks[number]
    if chunk.lead:
        result[: chunk.lead] = cross_fade(journal.tail(number - 1), result[: chunk.lead])
    own = _own_frames(chunks, number)
    if _is_continued(chunks, number):
        journal.save_tail(number, result[own:], chunk_state.after or {})
    write_chunk(journal.chunk_file(number), result[:own], job.output, job.info, job.encoding)
    journal.seal(number, with_tail=_is_continued(chunks, number))
    journal.discard_tail(number - 1)


def _chunk_state(journal: Journal, chunks: tuple[Chunk, ...], number: int) -> ChunkState:
    """What a chunk takes over from the previous one of its shot."""
    before = journal.state(number - 1) if chunks[number].continues_shot else {}
    until = chunks[number + 1].first - chunks[number].first if _is_continued(chunks, number) else None
    return ChunkState(before or None, until)


def _is_continued(chunks: tuple[Chunk, ...], number: int) -> bool:
    """Whether another chunk of the same shot follows."""
    return number + 1 < len(chunks) and chunks[number + 1].continues_shot


def chunk_noise(chunks: tuple[Chunk, ...], number: int, seed: int, shape: torch.Size) -> Tensor:
    """The noise of a chunk: that of the chunk before where the two overlap, its own from there on.

    Every shot begins anew, as it would in a file of its own. Where several frames make one latent
    frame, chunks do not lie on the same grid, and only the seed changes.
    """
    chunk = chunks[number]
    own = seed + _place_in_shot(chunks, number)
    if not chunk.lead or shape[2] != chunk.length:
        return seeded_noise(shape, own)
    batch, channels, _, *cells = shape
    before = chunks[number - 1]
    shared = seeded_noise((batch, channels, before.length - before.lead, *cells), own - 1)[:, :, -chunk.lead :]
    return torch.cat([shared, seeded_noise((batch, channels, chunk.length - chunk.lead, *cells), own)], dim=2)


def _place_in_shot(chunks: tuple[Chunk, ...], number: int) -> int:
    """How many chunks of the same shot come before."""
    place = 0
    while chunks[number - place].continues_shot:
        place += 1
    return place


class _Window:
    """The frames of a file, in order; only those that a chunk still needs are kept."""

    def __init__(self, info: VideoInfo, timeline: Timeline) -> None:
        self._frames: Iterator[Any] = iter_frames(info.path, fields=info.fields, one_thread=timeline.is_damaged)
        self._alpha = info.picture.alpha
        self._next = 0
        self._kept: dict[int, Tensor] = {}

    def take(self, chunk: Chunk) -> Tensor:
        """(T, h, w, 3) of a chunk that begins no earlier than the last one."""
        self._kept = {index: frame for index, frame in self._kept.items() if index >= chunk.first}
        while self._next < chunk.end:
            frame = next(self._frames, None)
            if frame is None:
                raise MediaError(
                    "The input has fewer frames than when the run began; leave it in place and start again."
                )
            if self._next >= chunk.first:  # others belong to chunks that are finished
                self._kept[self._next] = to_tensor(frame, self._alpha)
            self._next += 1
        return torch.stack([self._kept[index] for index in range(chunk.first, chunk.end)])


def _input_identity(info: VideoInfo) -> str:
    """Of the frames that are read: the file, and what is done about interlacing."""
    if is_sequence(info.path):
        return sha256(*images(info.path))
    fields = info.fields
    return sha256(info.path) + (f" {fields.mode} {fields.parity} {fields.only_flagged}" if fields.filters else "")


def _identity(job: Job, chunks: tuple[Chunk, ...], weights: str) -> dict[str, Any]:
    """What the result depends on; see :data:`video.journal.NAMES`."""
    return {
        "input": _input_identity(job.info),
        "size": list(job.target),
        "settings": asdict(job.settings) if job.settings else {},
        "weights": weights,
        "strength": job.strength.digest,
        "chunks": [job.chunk_frames, job.overlap_frames, [chunk.first for chunk in chunks]],
        "encoder": _encoder_identity(job),
        "version": VERSION,
    }


def _encoder_identity(job: Job) -> list[Any]:
    """What chunks depend on: not the choice of audio, which is made when they are joined."""
    choices = {name: value for name, value in asdict(job.encoding).items() if name != "audio"}
    aspect = job.encoding.picture(job.info, job.target).pixel_aspect
    changed = [] if aspect == job.info.picture.pixel_aspect else [str(aspect)]
    return [choices, job.output.suffix, *changed]
