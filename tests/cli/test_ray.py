"""A job on the workers of a Ray cluster: the file is that of one machine, whoever of them is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import colors, write
from command import CHUNK

from patchvsr_core.__main__ import main
from patchvsr_core.cli import ray_cluster, ray_run
from patchvsr_core.cli.parser import make_parser
from patchvsr_core.cli.preparation import encoding_of, probe_job
from patchvsr_core.cli.ray_cluster import RemoteEngine, connected, with_absolute_paths
from patchvsr_core.cli.ray_run import upscale_on_cluster
from patchvsr_core.cli.ray_worker import Made, Order
from patchvsr_core.cli.worker_folders import make_worker_folder
from patchvsr_core.run.job import Job
from patchvsr_core.video.journal import folder_of

ray = pytest.importorskip("ray", reason="needs the package ray, which is optional and lacks wheels on some systems")

Case = tuple[Path, tuple[str, ...], bytes]
FRAMES = (24, 24, 20)
"""Of the shots."""
FAST = ("--fast", "dap", "--chunk-frames", str(CHUNK))
PATCHES = ("--base-layer", "bicubic", "--detail", "1", "--scale", "2", "--chunk-frames", "6", "--chunk-overlap", "1")
"""No state is carried: chunks of one shot go to several workers, and fade into one another."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two workers of one core each on this machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="module", params=[FAST, PATCHES], ids=["a state in every shot", "chunks on their own"])
def case(request: pytest.FixtureRequest, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A clip, options, and the file that one machine makes."""
    clip, folder = source, tmp_path_factory.mktemp("case")
    if request.param is PATCHES:
        clip = write(folder / "in.mp4", colors(18, 32, 48))
    return clip, request.param, upscale(clip, folder / "whole.mp4", *request.param)


def test_workers_elsewhere_are_given_whole_paths_but_names_of_what_ships_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tiny", "restorer", "rdg"):
        (tmp_path / name).mkdir()
    (tmp_path / "map.png").write_bytes(b"")
    given = {"model": "tiny", "base_layer": "restorer", "fast": "rdg", "vae": None, "strength_map": "map.png", "crf": 1}
    assert with_absolute_paths(given) == {**given, "strength_map": str(tmp_path.resolve() / "map.png")}


@pytest.fixture(scope="module")
def fast_whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file that one machine makes with the real-time network."""
    return upscale(source, tmp_path_factory.mktemp("whole") / "out.mp4", *FAST)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shots = [colors(FRAMES[0], 32, 48), 1 - colors(FRAMES[1], 32, 48), colors(FRAMES[2], 32, 48) ** 3]
    return write(tmp_path_factory.mktemp("source") / "in.mp4", torch.cat(shots))


def upscale(source: Path, output: Path, *options: str) -> bytes:
    assert main(["upscale", str(source), str(output), *options]) == 0
    assert [path.name for path in output.parent.iterdir() if path.name.startswith(".")] == []
    return output.read_bytes()


def run(source: Path, output: Path, options: tuple[str, ...], on_made: Any = lambda made: None) -> list[Made]:
    """What the command does, watched."""
    chosen = make_parser().parse_args(["upscale", str(source), str(output), "--ray", "auto", *options])
    seen: list[Made] = []

    def look(made: Made) -> None:
        seen.append(made)
        on_made(made)

    info, target, timeline = probe_job(chosen, output, encoding_of(chosen))
    with connected(chosen, info, target) as machines:
        engine = RemoteEngine(machines)
        length, overlap = engine.chunks(len(timeline.timestamps), chosen.chunk_frames, chosen.chunk_overlap)
        job = Job(
            info, output, target, engine.settings, length, overlap, encoding_of(chosen), precision=engine.precision
        )
        upscale_on_cluster(machines, job, timeline, engine, lambda done, total: None, look)
    return seen


def test_two_workers_make_the_file_of_one_machine(cluster: None, case: Case, tmp_path: Path) -> None:
    source, options, whole = case
    made = run(source, tmp_path / "out.mp4", options)
    assert (tmp_path / "out.mp4").read_bytes() == whole
    assert len({each.process for each in made}) == 2, "both have worked"
    assert len({each.number for each in made}) == len(made) and all(each.parcel is None for each in made)


def test_the_command_does_the_same(cluster: None, source: Path, tmp_path: Path, fast_whole: bytes) -> None:
    assert upscale(source, tmp_path / "out.mp4", *FAST, "--ray", "auto") == fast_whole


def test_workers_that_see_neither_the_input_nor_the_output_return_chunks(
    cluster: None, source: Path, tmp_path: Path, fast_whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ray_cluster.Networks

    def elsewhere(options: Any, info: Any, target: Any, threads: int, size: int) -> Any:
        return real(options, info, target, threads, size + 1)  # to a worker, the file is another one

    monkeypatch.setattr(ray_cluster, "Networks", elsewhere)
    monkeypatch.setattr(ray_run, "Order", _order_of_another_folder)
    made = run(source, tmp_path / "out.mp4", FAST)
    assert all(each.parcel for each in made) and (tmp_path / "out.mp4").read_bytes() == fast_whole


def _order_of_another_folder(*arguments: Any, **others: Any) -> Any:
    order = Order(*arguments, **others)
    return replace(order, job=replace(order.job, output=Path("/nowhere") / order.job.output.name))


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_worker_killed_in_the_middle_costs_at_most_one_chunk(cluster: None, case: Case, tmp_path: Path) -> None:
    source, options, whole = case
    killed: list[int] = []

    def kill_first(made: Made) -> None:
        if not killed:
            killed.append(made.process)
            os.kill(made.process, signal.SIGKILL)

    made = run(source, tmp_path / "out.mp4", options, kill_first)
    assert (tmp_path / "out.mp4").read_bytes() == whole
    numbers = [each.number for each in made]
    assert len(set(numbers)) == len(numbers), "what was finished is not made again"
    assert {each.process for each in made} - {*killed}, "others took over"


def test_what_a_worker_refuses_is_said_in_one_sentence(
    cluster: None, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing.safetensors")
    assert main(["upscale", str(source), str(tmp_path / "out.mp4"), "--fast", missing, "--ray", "auto"]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert said == [f"patchvsr: There is no real-time network at {missing}; choose dap or rdg, or check the path."]


def test_a_stopped_run_resumes(cluster: None, source: Path, tmp_path: Path, fast_whole: bytes) -> None:
    output = tmp_path / "out.mp4"

    def stop(made: Made) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(source, output, FAST, stop)
    left = {path.stem for path in folder_of(output).glob("*.seal")}
    assert left
    made = run(source, output, FAST)
    assert not left & {f"{each.number:06d}" for each in made} and output.read_bytes() == fast_whole


def test_a_task_asks_for_the_memory_of_a_chunk_and_never_for_more_than_there_is() -> None:
    class OfTwo:
        """A cluster of two machines."""

        def nodes(self) -> list[dict[str, Any]]:
            return [{"Alive": alive, "Resources": {"memory": size}} for alive, size in ((True, 8e9), (False, 64e9))]

        def cluster_resources(self) -> dict[str, float]:
            return {"CPU": 8.0, "memory": 8e9}

    networks: Any = None
    machines = ray_cluster.Cluster(OfTwo(), networks, {"num_cpus": 1})
    assert machines.workers == 8
    assert machines.with_memory(3 * 10**9).workers == 2
    large = machines.with_memory(10**11)
    assert large.demands == {"num_cpus": 1, "memory": 8 * 10**9} and large.workers == 1


def test_folders_of_killed_workers_are_removed_by_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import os, signal\n"
        "from patchvsr_core.cli.worker_folders import make_worker_folder\n"
        "(make_worker_folder() / 'in.mp4').touch()\n"
        "os.kill(os.getpid(), signal.SIGTERM if os.name != 'posix' else signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path), "TEMP": str(tmp_path)}
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=False).returncode != 0
    (left,) = tmp_path.iterdir()
    mine = make_worker_folder()
    assert not left.exists() and [*tmp_path.iterdir()] == [mine]
    assert make_worker_folder().parent == mine.parent and mine.exists(), "this process is alive"
