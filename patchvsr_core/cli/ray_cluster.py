"""A Ray cluster, ``--ray auto`` or an address, and what its workers are asked; :mod:`ray_run` is the run on it."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import ModelError, PatchVSRError, PlanError
from ..plan.chunks import Chunk
from ..realtime.upscaler import SHIPPED
from ..settings import BASE_LAYERS, MODEL_FILES, Settings
from ..video import VideoInfo
from ..video.chunk_files import Encoding
from ..video.parcels import Parcel, pack
from .engine import Cost
from .ray_worker import Networks, Order, UnseenInputError, input_files, make_share, query_engine
from .realtime_engine import NO_PASSES

log = logging.getLogger("patchvsr")
AUTO = "auto"
CLIENT = "ray://"
TAKE_PATHS = (*MODEL_FILES, "model", "fast", "base_layer", "strength_map", "passes")
"""Options that name a file or folder, or what ships."""
SHIPPED_NAMES = {"tiny", "conditional", NO_PASSES, *SHIPPED, *BASE_LAYERS}
"""A file or folder may happen to be called the same."""
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
        have, names = self.ray.cluster_resources(), {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
        return max(1, min(int(have.get(names[name], 0) / needed) for name, needed in self.demands.items()))

    def with_memory(self, needed: int) -> Cluster:
        """The same, where every task asks for so many bytes, or for all of the largest machine."""
        most = max((node["Resources"].get("memory", 0) for node in self.ray.nodes() if node["Alive"]), default=0)
        return replace(self, demands={**self.demands, "memory": int(min(needed, most))}) if most else self

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
        chosen = {**with_absolute_paths(vars(options)), "device": device, "run": None}
        yield Cluster(ray, Networks(chosen, info, target, int(demands["num_cpus"]), sizes), demands)
    finally:
        if is_ours:
            ray.shutdown()


def with_absolute_paths(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the command line for a worker in another folder; names of what ships are no paths."""
    given = {name: options.get(name) for name in TAKE_PATHS}
    paths = {name: Path(value) for name, value in given.items() if value and value not in SHIPPED_NAMES}
    return {**options, **{name: str(path.resolve()) for name, path in paths.items() if path.exists()}}


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
