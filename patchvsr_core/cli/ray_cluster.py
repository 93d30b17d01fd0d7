"""A run on a Ray cluster: ``--ray auto`` or an address.

The process that the user starts plans the job, hands shares of its chunks to workers, keeps what they finish in the
journal of the output, and joins. When a worker is lost, the chunks of its share that are not finished go to another.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ..errors import ModelError, PatchVSRError, PlanError, ProcessGroupError
from ..plan.chunks import Chunk
from ..run.chunk_work import forget_damaged
from ..run.job import Job, identity
from ..run.shares import Share, plan_shares
from ..run.video_job import job_chunks, join_job
from ..settings import MODEL_FILES, Settings
from ..video import VideoInfo
from ..video.chunk_files import Encoding, chunk_suffix
from ..video.journal import Journal
from ..video.parcels import Parcel, pack, unpack_chunk
from ..video.reader import Timeline
from .engine import Cost
from .ray_worker import Made, Networks, Order, UnseenInputError, input_files, make_share, query_engine

log = logging.getLogger("patchvsr")
AUTO = "auto"
CLIENT = "ray://"
SHARES_A_WORKER = 4
"""More lets fast workers do more than slow ones; fewer means that fewer chunks wait for a neighbour."""
CARRIED = (".seal", ".tail")
"""Suffixes of what chunks leave to later ones."""
TRIES = 3
"""Workers that may be lost in a row without any of them finishing a chunk of the share."""


@dataclass(frozen=True, eq=False)
class Cluster:
    """A cluster, and what every task asks it for."""

    ray: Any
    networks: Networks
    demands: dict[str, float]
    """Of a task: ``num_cpus``, ``num_gpus``, ``memory``."""
    parcels: list[Any] = field(default_factory=list)
    """The input's files in the object store, once a worker turned out not to see them."""

    @property
    def workers(self) -> int:
        """Tasks that run at the same time."""
        have = self.ray.cluster_resources()
        kind, name = ("GPU", "num_gpus") if "num_gpus" in self.demands else ("CPU", "num_cpus")
        return max(1, int(have.get(kind, 0) / self.demands[name]))

    def query(self, name: str, *arguments: Any) -> Any:
        """See :func:`ray_worker.query_engine`."""
        task = self.ray.remote(query_engine).options(max_retries=TRIES, **self.demands)
        while True:
            try:
                with in_own_words():
                    return self.ray.get(task.remote(self.networks, self.input, name, *arguments))
            except UnseenInputError:
                self.send_input()

    def start(self, order: Order, earlier: Parcel | None) -> Any:
        """Begin a share: a generator of references to :class:`ray_worker.Made`."""
        task = self.ray.remote(make_share).options(num_returns="streaming", max_retries=0, **self.demands)
        return task.remote(order, self.input, earlier)

    @property
    def input(self) -> Any:
        """A reference to the input's files; None where workers see them."""
        return self.parcels[0] if self.parcels else None

    def send_input(self) -> None:
        """Put the input's files into the object store."""
        info = self.networks.info
        if not self.parcels:
            self.parcels.append(self.ray.put(pack(input_files(info), info.path.parent)))


@contextmanager
def in_own_words() -> Iterator[None]:
    """Let what a worker raised be raised here as it was, without the worker's traceback in its sentence."""
    try:
        yield
    except (PatchVSRError, UnseenInputError) as error:
        raise getattr(error, "cause", error) from error


@dataclass(frozen=True, eq=False)
class RemoteEngine:
    """An :class:`engine.Engine` whose networks are on the workers."""

    cluster: Cluster
    models: None = None

    def work(self, *_: Any, **__: Any) -> Any:
        """Is done by workers alone."""
        raise NotImplementedError

    @cached_property
    def settings(self) -> Settings | None:
        """See :class:`engine.Engine`; likewise below."""
        found: Settings | None = self.cluster.query("settings")
        return found

    @cached_property
    def identity(self) -> str:
        return str(self.cluster.query("identity"))

    @cached_property
    def precision(self) -> str:
        return str(self.cluster.query("precision"))

    @cached_property
    def carries_state(self) -> bool:
        return bool(self.cluster.query("carries_state"))

    def chunks(self, frames: int, length: int | None, overlap: int | None) -> tuple[int, int]:
        found: tuple[int, int] = self.cluster.query("chunks", frames, length, overlap)
        return found

    def cost(self, chunks: Sequence[Chunk], output: Path, encoding: Encoding) -> Cost:
        found: Cost = self.cluster.query("cost", chunks, output, encoding)
        return found


@contextmanager
def connected(options: argparse.Namespace, info: VideoInfo, target: tuple[int, int]) -> Iterator[Cluster]:
    """The cluster that ``--ray`` names; ``auto`` starts one on this machine where none is running.

    Raises:
        ModelError: when Ray is not installed, or there is no cluster at the address.
    """
    ray = _ray()
    is_ours = not ray.is_initialized()
    if is_ours:
        _connect(ray, options.ray)
    try:
        device, demands = _demands(options, ray.cluster_resources())
        sizes = sum(file.stat().st_size for file in input_files(info))
        chosen = {**vars(options), "device": device, "run": None}
        for name in (*MODEL_FILES, "model", "fast", "base_layer", "strength_map", "passes"):
            if chosen.get(name) and Path(chosen[name]).exists():
                chosen[name] = str(Path(chosen[name]).resolve())
        yield Cluster(ray, Networks(chosen, info, target, int(demands["num_cpus"]), sizes), demands)
    finally:
        if is_ours:
            ray.shutdown()


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ModelError("--ray needs the package ray; install it on every machine with: pip install ray") from error
    return ray


def _connect(ray: Any, address: str) -> None:
    if address.startswith(CLIENT):
        raise PlanError(
            f"{address} is an address of Ray's remote client, which cannot pass chunks on as they are finished; run "
            "the command on a machine of the cluster with --ray auto."
        )
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init(address=address, **quiet)
    except ConnectionError as error:
        if address != AUTO:
            raise ModelError(
                f"There is no Ray cluster at {address}; start one with ray start --head, join it on this machine with "
                "ray start --address, and check the address."
            ) from error
        ray.init(include_dashboard=False, **quiet)


def _demands(options: argparse.Namespace, have: dict[str, float]) -> tuple[str, dict[str, float]]:
    """(device of the workers, what a task asks for)."""
    device = options.device
    if device == "auto":
        device = "cuda" if have.get("GPU", 0) >= 1 else "cpu"
    if device != "cpu":
        return device, {"num_cpus": 1, "num_gpus": 1}
    return device, {"num_cpus": options.ray_cpus}


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
