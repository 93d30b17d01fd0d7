"""Makes chunks of a job, all of them or a share, and stores each as soon as it is finished.

A chunk fades in from the one before. Where that belongs to another share and is not there yet, the frames wait as they
are, and :func:`finish_waiting` fades and encodes them later.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..distributed import SINGLE, ProcessGroup
from ..finish.strength_map import StrengthMap, apply_strength_map
from ..plan.chunks import Chunk, ChunkState, cross_fade
from ..progress import OnProgress
from ..vae.encode import seeded_noise
from ..video.chunk_files import write_frames
from ..video.encode_beside import EncodeBeside
from ..video.journal import Journal
from ..video.reader import Timeline
from .alpha import is_in_range, shown, with_extras
from .chunk_frames import ChunkFrames
from .job import Job
from .malloc import trim_malloc
from .oom_backoff import Work

log = logging.getLogger("patchvsr")


def make_chunks(
    journal: Journal,
    job: Job,
    timeline: Timeline,
    chunks: tuple[Chunk, ...],
    numbers: Collection[int],
    models: Any,
    work: Work,
    report: OnProgress,
    group: ProcessGroup = SINGLE,
) -> Iterator[int]:
    """Make those chunks of a share that are not finished yet, in order; yields the number of each before its work.

    Args:
        numbers: the share, ascending: all chunks, or some whose neighbours others make.
        work, models, group: see :func:`run.video_job.upscale_file`.

    Raises:
        MediaError, OutputError: in one sentence.
    """
    frames = ChunkFrames(job.info, timeline, is_premultiplied=job.is_premultiplied)
    left = group.broadcast_object(lambda: [each for each in numbers if not journal.is_done(each)])
    for number, following in itertools.zip_longest(left, left[1:]):
        yield number
        chunk_state = group.broadcast_object(partial(_chunk_state, journal, chunks, number, numbers))
        make = partial(work, noise=partial(chunk_noise, chunks, number, _seed(job)), chunk_state=chunk_state)
        if job.strength.has_effect:
            make = partial(_held, job.strength, make)
        taken = frames.take(chunks[number], None if following is None else chunks[following])
        made = partial(with_extras, make, taken, job.target, models, job.settings, report)
        is_final = not job.strength.has_effect and taken.shape[-1] == 3 and is_in_range(taken)
        _make_chunk(journal, job, chunks, number, numbers, made, chunk_state, is_final_at_once=is_final)
        del taken, made  # before the next ones are there
        trim_malloc()


def _make_chunk(
    journal: Journal,
    job: Job,
    chunks: tuple[Chunk, ...],
    number: int,
    numbers: Collection[int],
    made: Callable[[], Tensor],
    chunk_state: ChunkState,
    *,
    is_final_at_once: bool,
) -> None:
    """Make a chunk and store it.

    Args:
        made: the work; it returns all frames, or none where ``chunk_state.on_final`` took them.
        is_final_at_once: what the work makes is shown, and nothing is added to it.
    """
    beside = EncodeBeside(partial(_encode, journal, job, chunks, number))
    passing = _Passing(journal, chunks, number, beside.put)
    if is_final_at_once and not _has_to_wait(journal, chunks, number, numbers):
        chunk_state.on_final = passing
    with beside:
        result = made()
        if len(result):
            beside.abandon()  # these are to be kept, not those that were handed on before memory ran out
    _keep(journal, job, chunks, number, numbers, result, passing.tail(result), chunk_state)


class _Passing:
    """Passes frames on as they are made, the first ones faded in; keeps those with which the next chunk begins."""

    def __init__(self, journal: Journal, chunks: tuple[Chunk, ...], number: int, put: Callable[[Tensor], None]) -> None:
        self._journal, self._chunks, self._number, self._put = journal, chunks, number, put
        self._lead: list[Tensor] = []
        self._tail: list[Tensor] = []
        self._taken = 0

    def __call__(self, frame: Tensor) -> None:
        """Take the next frame, (H, W, 3)."""
        self._taken += 1
        if self._taken > _own_frames(self._chunks, self._number):
            self._tail.append(frame)
            return
        lead = self._chunks[self._number].lead
        if self._taken > lead:
            self._put(frame)
            return
        self._lead.append(frame)
        if self._taken == lead:
            opening = torch.stack(self._lead)
            _fade_in(self._journal, self._chunks, self._number, opening)
            self._lead.clear()
            for each in opening:
                self._put(each)

    def tail(self, result: Tensor) -> Tensor:
        """The frames with which the next chunk begins, among the returned ones or else among those taken here."""
        if len(result) or not self._tail:
            return result[_own_frames(self._chunks, self._number) :]
        return torch.stack(self._tail)


def follow_chunks(
    job: Job, timeline: Timeline, chunks: tuple[Chunk, ...], models: Any, work: Work, group: ProcessGroup
) -> None:
    """What the others do while the leader makes chunks: they work on the ones that it names."""
    frames = ChunkFrames(job.info, timeline, is_premultiplied=job.is_premultiplied)
    for number in group.broadcast_object(list[int]):
        chunk_state = group.broadcast_object(ChunkState)
        noise = partial(chunk_noise, chunks, number, _seed(job))
        taken = shown(frames.take(chunks[number]))
        work(taken, job.target, models, job.settings, lambda *_: None, noise=noise, chunk_state=chunk_state)
        trim_malloc()


def finish_waiting(journal: Journal, job: Job, chunks: tuple[Chunk, ...], numbers: Sequence[int]) -> None:
    """Fade and encode the chunks among ``numbers`` that waited for the one before, where that is there now."""
    for number in numbers:
        if journal.is_waiting(number) and journal.has_tail(number - 1):
            result = journal.waiting_frames(number)
            _fade_in(journal, chunks, number, result)
            _encode(journal, job, chunks, number, result)
            journal.seal(number, with_tail=_is_continued(chunks, number))


def forget_damaged(journal: Journal, chunks: tuple[Chunk, ...], numbers: Sequence[int]) -> None:
    """Discard what is damaged in a share, and what has to be made again for it.

    After a power cut or by a faulty disk, files are damaged; and a chunk needs what the one before left.
    """
    for number in numbers:
        if journal.is_intact(number) or journal.is_waiting(number):
            continue
        if journal.is_done(number) or journal.chunk_file(number).exists():
            log.warning("Chunk %d of %s is damaged or incomplete; it is made again.", number + 1, journal.output.name)
        journal.discard(number)
    for number in numbers:
        if _is_continued(chunks, number) and _lacks_tail(journal, number):
            for earlier in range(number - _place_in_shot(chunks, number), number + 1):
                if earlier in numbers:
                    journal.discard(earlier)


def _lacks_tail(journal: Journal, number: int) -> bool:
    """Whether the chunk after a finished one needs what is no longer there."""
    is_needed = not journal.is_done(number + 1) or journal.is_waiting(number + 1)
    return is_needed and journal.is_done(number) and not journal.has_tail(number)


def _held(strength: StrengthMap, make: Callable[..., Tensor], frames: Tensor, *others: Any) -> Tensor:
    return apply_strength_map(make(frames, *others), frames, strength)


def _seed(job: Job) -> int:
    return job.settings.seed if job.settings else 0


def _own_frames(chunks: tuple[Chunk, ...], number: int) -> int:
    """How many frames of a chunk go into its file; the next one begins with the others."""
    following = chunks[number + 1].lead if number + 1 < len(chunks) else 0
    return chunks[number].length - following


@torch.inference_mode()
def _keep(
    journal: Journal,
    job: Job,
    chunks: tuple[Chunk, ...],
    number: int,
    numbers: Collection[int],
    result: Tensor,
    tail: Tensor,
    chunk_state: ChunkState,
) -> None:
    """Fade in from the chunk before, and store what is final; the rest waits for the chunk after.

    Args:
        result: all frames; none where they are encoded already.
        tail: the frames with which the next chunk begins.
    """
    if _is_continued(chunks, number):
        journal.save_tail(number, tail, chunk_state.after or {})
    if _has_to_wait(journal, chunks, number, numbers):
        journal.save_waiting(number, result)
        journal.seal(number, with_tail=_is_continued(chunks, number), is_waiting=True)
        return
    if len(result):
        _fade_in(journal, chunks, number, result)
        _encode(journal, job, chunks, number, result)
    journal.seal(number, with_tail=_is_continued(chunks, number))
    if number - 1 in numbers:  # that of another share stays: this chunk may have to be made again
        journal.discard_tail(number - 1)


def _has_to_wait(journal: Journal, chunks: tuple[Chunk, ...], number: int, numbers: Collection[int]) -> bool:
    """Whether a chunk fades in from one of another share that is not there yet."""
    return bool(chunks[number].lead) and number - 1 not in numbers and not journal.has_tail(number - 1)


def _fade_in(journal: Journal, chunks: tuple[Chunk, ...], number: int, result: Tensor) -> None:
    lead = chunks[number].lead
    if lead:
        result[:lead] = cross_fade(journal.tail(number - 1), result[:lead])


def _encode(journal: Journal, job: Job, chunks: tuple[Chunk, ...], number: int, frames: Iterable[Tensor]) -> None:
    """Encode the frames of a chunk that are its own."""
    count = _own_frames(chunks, number)
    own = itertools.islice(frames, count)
    write_frames(journal.chunk_file(number), own, count, job.target, job.output, job.info, job.encoding)


def _chunk_state(journal: Journal, chunks: tuple[Chunk, ...], number: int, numbers: Collection[int]) -> ChunkState:
    """What a chunk takes over from the previous one of its shot; nothing from one of another share."""
    before = journal.state(number - 1) if chunks[number].continues_shot and number - 1 in numbers else {}
    until = chunks[number + 1].first - chunks[number].first if _is_continued(chunks, number) else None
    return ChunkState(before or None, until, chunks[number].first)


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
