"""A run on a Ray cluster.

The process that the user starts plans the job, hands shares of its chunks to workers, keeps what they finish in the
journal of the output, and joins. When a worker is lost, the chunks of its share that are not finished go to another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ..errors import ProcessGroupError
from ..plan.chunks import Chunk
from ..run.chunk_work import forget_damaged
from ..run.job import Job, identity
from ..run.shares import Share, plan_shares
from ..run.video_job import job_chunks, join_job
from ..video.chunk_files import chunk_suffix
from ..video.journal import Journal
from ..video.parcels import Parcel, pack, unpack_chunk
from ..video.reader import Timeline
from .ray_cluster import TRIES, Cluster, RemoteEngine, in_own_words
from .ray_worker import Made, Order, UnseenInputError

log = logging.getLogger("patchvsr")
SHARES_A_WORKER = 4
"""More lets fast workers do more than slow ones; fewer means that fewer chunks wait for a neighbour."""
CARRIED = (".seal", ".tail")
"""Suffixes of what chunks leave to later ones."""


def upscale_on_cluster(
    cluster: Cluster,
    job: Job,
    timeline: Timeline,
    engine: RemoteEngine,
    on_chunk: Callable[[int, int], None],
    on_made: Callable[[Made], None] = lambda made: None,
) -> None:
    """Make the file; what is finished stays when a run is stopped, as with :func:`run.video_job.upscale_file`.

    The caller holds the output: :func:`video.target_lock.lock_target`.

    Args:
        on_chunk: called with (chunks done, of all).
        on_made: called with each chunk that is finished.

    Raises:
        PatchVSRError: in one sentence.
    """
    chunks = job_chunks(job, timeline)
    record = identity(job, chunks, engine.identity)
    journal = Journal(job.output, chunk_suffix(job.output), record, fresh=job.fresh)
    forget_damaged(journal, chunks, range(len(chunks)))
    done = sum(map(journal.is_done, range(len(chunks))))
    on_chunk(done, len(chunks))
    cluster = cluster.with_memory(engine.cost(chunks, job.output, job.encoding).memory_bytes)
    order = partial(
        Order,
        cluster.networks,
        job,
        timeline,
        record,
        journal.suffix,
        whole_shots=engine.carries_state,
    )
    count = SHARES_A_WORKER * cluster.workers
    shares = plan_shares(chunks, count, whole_shots=engine.carries_state)
    work = _Work(cluster, journal, chunks, order)
    for made in work.through([share for share in shares if not all(map(journal.is_done, share))]):
        done += 1
        on_chunk(done, len(chunks))
        on_made(made)
    join_job(journal, job, timeline, chunks)
    journal.remove()


@dataclass(frozen=True, eq=False)
class _Work:
    """Shares at work on a cluster."""

    cluster: Cluster
    journal: Journal
    chunks: tuple[Chunk, ...]
    order: Callable[..., Order]
    lost: dict[Share, int] = field(default_factory=dict)
    """Workers that were lost with a share since it last had a chunk finished."""

    def through(self, shares: Sequence[Share]) -> Iterator[Made]:
        """Run all shares; yields every chunk once it is in the journal."""
        ray = self.cluster.ray
        running = {self._start(share): share for share in shares}
        try:
            while running:
                (ready,), _ = ray.wait([*running], num_returns=1, fetch_local=False)
                share = running.pop(ready)
                try:
                    with in_own_words():
                        made: Made = ray.get(next(ready))
                except StopIteration:
                    continue
                except UnseenInputError:
                    self.cluster.send_input()
                    running[self._start(share)] = share
                except ray.exceptions.RayError as error:
                    self._count_loss(share, error)
                    running[self._start(share)] = share
                else:
                    running[ready] = share
                    self.lost.pop(share, None)
                    if made.parcel is not None:
                        unpack_chunk(self.journal, made.parcel)
                        if made.number - 1 in share:
                            self.journal.discard_tail(made.number - 1)
                    yield made
        finally:
            for unfinished in running:
                ray.cancel(unfinished, force=True)

    def _start(self, share: Share) -> Any:
        forget_damaged(self.journal, self.chunks, share)
        return self.cluster.start(self.order(share=share), self._earlier(share))

    def _earlier(self, share: Share) -> Parcel | None:
        """What a worker that does not see the journal needs to resume a share."""
        done = [number for number in share if self.journal.is_done(number)]
        files = [file for number in done for file in self.journal.files_of(number) if file.suffix in CARRIED]
        return pack(files, self.journal.folder) or None

    def _count_loss(self, share: Share, error: Exception) -> None:
        self.lost[share] = self.lost.get(share, 0) + 1
        log.warning("A Ray worker was lost; its unfinished chunks go to another one.")
        if self.lost[share] >= TRIES:
            raise ProcessGroupError(
                f"{TRIES} Ray workers in a row were lost with the same chunk ({type(error).__name__}); look for the "
                "reason in Ray's logs, such as too little memory, and run the same command again, which resumes."
            ) from error
