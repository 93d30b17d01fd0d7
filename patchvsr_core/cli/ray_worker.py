"""What a worker of a Ray cluster does: its share of a job's chunks, as the command line would on that machine.

A worker that sees the folder of the output stores finished chunks there; otherwise it returns them. Networks stay
loaded from one share to the next.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..errors import MediaError, ModelError
from ..run.chunk_work import finish_waiting, make_chunks
from ..run.job import Job
from ..run.malloc import tune_malloc
from ..run.shares import Share
from ..run.video_job import job_chunks
from ..video import VideoInfo
from ..video.journal import Journal, read_unfinished
from ..video.parcels import Parcel, pack_chunk, unpack
from ..video.reader import Timeline
from ..video.sequence import images, is_sequence
from .engine import Engine
from .preparation import load_engine
from .worker_folders import make_worker_folder


class UnseenInputError(Exception):
    """A worker does not see the input, and was not given it."""


@dataclass(frozen=True)
class Networks:
    """What a worker loads, and where it works."""

    options: dict[str, Any]
    """Of the command line."""
    info: VideoInfo
    target: tuple[int, int]
    threads: int
    """Of a CPU."""
    input_bytes: int
    """Of the input's files, by which a worker recognises them."""


@dataclass(frozen=True)
class Order:
    """A share of a job."""

    networks: Networks
    job: Job
    timeline: Timeline
    record: dict[str, Any]
    """What the result depends on, see :func:`run.job.identity`."""
    suffix: str
    """Of chunk files."""
    share: Share
    whole_shots: bool


@dataclass(frozen=True)
class Made:
    """A chunk that is finished."""

    number: int
    parcel: Parcel | None
    """None: it is in the folder of the output."""
    process: int
    """That made it."""


def input_files(info: VideoInfo) -> list[Path]:
    """The files of an input."""
    return images(info.path) if is_sequence(info.path) else [info.path]


def query_engine(networks: Networks, given: Parcel | None, name: str, *arguments: Any) -> Any:
    """An attribute of the engine that this worker runs, or what one of its methods returns."""
    found = getattr(_engine(networks, given), name)
    return found(*arguments) if arguments else found


def make_share(order: Order, given: Parcel | None, earlier: Parcel | None) -> Iterator[Made]:
    """Make the chunks of a share that are not finished yet.

    Args:
        given: the input's files, for workers that do not see them.
        earlier: finished chunks of the share, for workers that do not see the folder of the output: their seals, and
            what the last one left.

    Raises:
        PatchVSRError: in one sentence.
        UnseenInputError: when ``given`` is needed.
    """
    engine = _engine(order.networks, given)
    if engine.identity != order.record["weights"]:
        raise ModelError(
            f"The model files on {socket.gethostname()} are not those of the other machines; install the same version "
            "of PatchVSR and copy the same files with their times."
        )
    if engine.precision != order.record["precision"]:
        raise ModelError(
            f"{socket.gethostname()} computes in {engine.precision} and other machines in "
            f"{order.record['precision']}; choose one for all with --precision."
        )
    job = replace(order.job, info=_local_info(order.networks, given))
    chunks = job_chunks(job, order.timeline)
    tune_malloc()
    shared = read_unfinished(job.output) == order.record
    folder = job.output.parent if shared else make_worker_folder()
    try:
        journal = Journal(folder / job.output.name, order.suffix, order.record)
        if not shared:
            unpack(earlier or {}, journal.folder)
        making = make_chunks(
            journal, job, order.timeline, chunks, order.share, engine.models, engine.work, lambda *_: None
        )
        last = None
        for number in making:
            yield from _made(journal, last, shared)
            last = number
        finish_waiting(journal, job, chunks, order.share)
        yield from _made(journal, last, shared)
    finally:
        if not shared:
            shutil.rmtree(folder, ignore_errors=True)


def _made(journal: Journal, number: int | None, shared: bool) -> Iterator[Made]:
    """The chunk before the one that is about to be made."""
    if number is not None:
        yield Made(number, None if shared else pack_chunk(journal, number), os.getpid())
        if not shared:
            journal.discard_file(number)


_KEPT: dict[str, Engine] = {}
"""The networks of the last share by what they were loaded for."""


def _engine(networks: Networks, given: Parcel | None) -> Engine:
    wanted = replace(networks, info=_local_info(networks, given))
    key = repr(wanted)
    if key not in _KEPT:
        _KEPT.clear()
        torch.set_num_threads(wanted.threads)
        _KEPT[key] = load_engine(argparse.Namespace(**wanted.options), wanted.info, wanted.target)
    return _KEPT[key]


def _local_info(networks: Networks, given: Parcel | None) -> VideoInfo:
    """The input as this machine sees it."""
    info = networks.info
    if given is not None:
        return replace(info, path=_stored(given) / info.path.name)
    if not _sees(info, networks.input_bytes):
        raise UnseenInputError(str(info.path))
    return info


def _sees(info: VideoInfo, size: int) -> bool:
    try:
        return sum(file.stat().st_size for file in input_files(info)) == size
    except (OSError, MediaError):
        return False


@lru_cache(maxsize=1)
def _input_folder() -> Path:
    return make_worker_folder()


def _stored(given: Parcel) -> Path:
    """A folder with the files of the input, once a process."""
    folder = _input_folder()
    if not any(folder.iterdir()):
        unpack(given, folder)
    return folder
