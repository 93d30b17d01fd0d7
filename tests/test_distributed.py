"""Several processes on one clip: the same frames, one voice, and no end without a reason."""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import group_job
import psutil
import pytest
import torch
from clips import colors, write
from small_models import random_adapter, random_vae, random_wan, save

from patchvsr_core import distributed
from patchvsr_core.__main__ import main
from patchvsr_core.adapter import save_adapter
from patchvsr_core.cli.commands import plan
from patchvsr_core.cli.commands import upscale as upscale_file_of
from patchvsr_core.cli.parser import make_parser
from patchvsr_core.cli.torchrun import REPORTED, Launch, join_launch, own_device
from patchvsr_core.distributed import PROCESS_LOST, SINGLE, ProcessGroup, current_group, sharded, use_group
from patchvsr_core.errors import MediaError, ModelError, PlanError, ProcessGroupError
from patchvsr_core.finish.refine import Refiner, RefinerConfig, refine_frames
from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.settings import Settings
from patchvsr_core.video import read_clip
from patchvsr_core.video.journal import folder_of, read_unfinished

ROOT = Path(__file__).parents[1]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
TORCHRUN = [
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "-m",
    "patchvsr_core",
]


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wan")
    save(random_vae(), folder / "vae.safetensors")
    model = save(random_wan(), folder / "wan.safetensors")
    base = load_models(str(model), vae=folder / "vae.safetensors").base
    save_adapter(random_adapter(base.spec), folder / "adapter.safetensors", torch.float32)
    return folder


@pytest.fixture(scope="module")
def alone(wan: Path) -> dict[str, torch.Tensor]:
    return dict(group_job.results(SINGLE, wan))


def start(size: int, *command: object, **options: Any) -> list[subprocess.Popen[str]]:
    """A command as torchrun starts it; the leader is the first."""
    environment = {**os.environ, **ONE_THREAD, **group_job.shared_environment(size)}
    command = (sys.executable, *command)
    return [
        subprocess.Popen(
            list(map(str, command)), cwd=ROOT, text=True, env={**environment, "RANK": str(rank)}, **options
        )
        for rank in range(size)
    ]


@pytest.mark.parametrize("size", [2, 4])
def test_the_frames_are_those_of_one_process(
    tmp_path: Path, wan: Path, alone: dict[str, torch.Tensor], size: int
) -> None:
    job = [sys.executable, group_job.__file__, size, tmp_path / "found.pt", wan]
    subprocess.run(list(map(str, job)), env={**os.environ, **ONE_THREAD}, check=True, timeout=200)
    found = torch.load(tmp_path / "found.pt")
    assert list(found) == list(alone)
    for name, expected in alone.items():
        assert found[name].shape == expected.shape, name
        assert (found[name] - expected).abs().max() < 1e-4, name


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGKILL")
def test_a_process_dies_and_the_same_command_goes_on(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4", colors(12, 24, 32))
    options = [
        "--patch-px",
        64,
        "--chunk-frames",
        4,
        "--chunk-overlap",
        1,
        "--propagation",
        0.25,
        "--propagation-start",
        1,
        "--crf",
        0,
    ]
    arguments = ["upscale", source, tmp_path / "out.mp4", *options]
    command = list(map(str, [*TORCHRUN, *arguments]))
    said = {"cwd": ROOT, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env={**os.environ, **ONE_THREAD}, **said) as process:
        journal = folder_of(tmp_path / "out.mp4")
        while not (journal / "000000.mp4").exists():
            assert process.poll() is None
            time.sleep(0.01)
        follower = next(p for p in psutil.Process(process.pid).children() if p.environ()["RANK"] == "1")
        follower.send_signal(signal.SIGKILL)
        errors = process.communicate(timeout=200)[1]
    assert process.returncode != 0
    assert sentences(errors) == [f"patchvsr: {PROCESS_LOST}"]
    assert read_unfinished(tmp_path / "out.mp4") is not None and not (tmp_path / "out.mp4").exists()

    started = start(2, "-m", "patchvsr_core", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    printed, errors = started[0].communicate(timeout=120)
    assert started[1].communicate(timeout=200) == ("", "") and [process.wait() for process in started] == [0, 0]
    assert printed.count("12 frames of 128x96") == 1
    assert "chunk 4/4" in errors and "chunk 1/4" not in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]
    made = read_clip(tmp_path / "out.mp4").frames
    (tmp_path / "out.mp4").unlink()
    assert main(list(map(str, arguments))) == 0
    assert (read_clip(tmp_path / "out.mp4").frames - made).abs().max() < 3 / 255


def test_a_user_error_is_one_sentence(tmp_path: Path) -> None:
    started = start(
        2, "-m", "patchvsr_core", "upscale", tmp_path / "no.mp4", tmp_path / "out.mp4", stderr=subprocess.PIPE
    )
    said = [process.communicate(timeout=200)[1] for process in started]
    assert said[0].startswith("patchvsr: There is no file") and said[0].count("\n") == 1
    assert said[1] == ""
    assert [process.returncode for process in started] == [2, 2]
    assert not list(tmp_path.iterdir())


BUG = """
import torch
from patchvsr_core.errors import ProcessGroupError
from patchvsr_core.cli.torchrun import join_launch
with join_launch() as launch:
    group = launch.init_process_group("cpu")
    try:
        group.all_reduce(torch.zeros(1 // (1 - group.rank)))
    except ProcessGroupError as error:
        launch.report_failure(str(error))
"""


def test_a_bug_of_another_process_is_shown() -> None:
    started = start(2, "-c", BUG, stderr=subprocess.PIPE)
    leader, other = (process.communicate(timeout=200)[1] for process in started)
    assert leader == "patchvsr: Process 1 failed (ZeroDivisionError: integer division or modulo by zero).\n"
    assert "Traceback" in other
    assert started[1].returncode == 1


def test_the_leader_says_what_another_failed_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    store = torch.distributed.HashStore()
    store.set(REPORTED, "1")  # nobody is waited for here
    with Launch(1, 2, store) as other:
        other.report_failure("patchvsr: Memory ran out.")
    leader = Launch(0, 2, store)
    with pytest.raises(ProcessGroupError):
        leader._check_peers()
    leader.report_failure(f"patchvsr: {PROCESS_LOST}")
    assert capsys.readouterr().err == "patchvsr: Memory ran out.\n"


def test_a_lost_leader_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    store = torch.distributed.HashStore()
    with Launch(1, 2, store) as other:
        other.report_failure(f"patchvsr: {PROCESS_LOST}")
    assert Launch(0, 2, store)._peer_failure() is None


def test_shares_are_even_and_complete() -> None:
    items = list(range(11))
    for size in (1, 2, 4):
        for after in (0, 3):
            shares = [list(ProcessGroup(rank, size).shard(items, after)) for rank in range(size)]
            assert sorted(itertools.chain(*shares)) == items
            assert max(map(len, shares)) - min(map(len, shares)) <= 1
            assert shares[after % size][0] == 0
    for frames in (1, 3, 10):
        parts = [items[:frames][ProcessGroup(rank, 4).frame_span(frames)] for rank in range(4)]
        assert list(itertools.chain(*parts)) == items[:frames] and parts[0] and len(parts[0]) == -(-frames // 4)


def test_a_stage_finds_the_group_of_its_run_and_reports_the_work_of_all() -> None:
    seen: list[tuple[int, int]] = []
    assert current_group() is SINGLE
    with use_group(ProcessGroup(1, 4)):
        own = list(sharded(range(6), lambda *done: seen.append(done)))
        assert list(sharded(range(6), offset=1)) == [0, 4]
    assert own == [1, 5] and seen == [(4, 6), (6, 6)]
    assert list(sharded(range(3))) == [0, 1, 2]


def test_what_the_leader_makes_for_all_is_not_divided() -> None:
    """The others do not come along, and a stage that waited for them would wait forever."""

    class Heard(ProcessGroup):
        def _broadcast_object(self, owner: int, value: Any) -> Any:
            return value

    group = Heard(0, 2)
    with use_group(group):
        assert group.broadcast_object(current_group) is SINGLE
        assert current_group() is group


def test_the_leader_alone_plans(tmp_path: Path) -> None:
    options = argparse.Namespace(fast=None, input=tmp_path / "missing.mp4")
    with pytest.raises(MediaError):
        plan(options, Launch(0, 2))
    assert plan(options, Launch(1, 2)) is None


def test_real_time_networks_are_refused() -> None:
    options = make_parser().parse_args(["upscale", "in.mp4", "out.mp4", "--fast", "dap"])
    with pytest.raises(PlanError, match="without torchrun"):
        upscale_file_of(options, Launch(0, 2))


class Unheard(ProcessGroup):
    """One of several processes, of which the others do not exist."""

    def _exchange(self, *_: Any, **__: Any) -> None:
        pass


@pytest.mark.parametrize(("frames", "size"), [(4, (92, 240)), (20, (100, 100)), (5, (300, 400)), (24, (92, 240))])
@pytest.mark.parametrize("processes", [2, 4])
def test_the_refiner_is_divided_evenly(frames: int, size: tuple[int, int], processes: int) -> None:
    class Counting(Refiner):
        seen = 0

        def forward(self, decoded: torch.Tensor, *_: Any) -> torch.Tensor:
            self.seen += decoded.numel()
            assert decoded.shape[2] <= 128 and decoded.shape[3] <= 128 and len(decoded) <= 6 + 2 * self.reach_frames
            return decoded

    def pixels(group: ProcessGroup) -> int:
        refiner = Counting(RefinerConfig(channels=8, blocks=2))
        clip = torch.rand(frames, *size, 3)
        with use_group(group):
            refine_frames(refiner, clip, clip[:, ::4, ::4], tile_px=128, chunk_frames=6)
        return refiner.seen

    busiest = max(pixels(Unheard(rank, processes)) for rank in range(processes))
    assert pixels(SINGLE) / busiest > 0.62 * processes


@pytest.mark.parametrize("option", ["spatial_attention", "temporal_attention"])
def test_what_cannot_be_divided_is_refused(option: str) -> None:
    settings = Settings(**{option: True})
    with pytest.raises(PlanError, match=f"With {option.replace('_', ' ')} .* torchrun"):
        upscale(torch.rand(1, 8, 8, 3), (16, 16), load_models("tiny"), settings, group=ProcessGroup(0, 2))


def test_one_process_forms_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "distributed", None)  # not touched
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with join_launch() as launch:
        assert launch.init_process_group("auto") is SINGLE
    x = torch.ones(2)
    assert (
        SINGLE.all_reduce(x) is x
        and SINGLE.all_gather(x, 2) is x
        and SINGLE.local_frames(x) is x
        and SINGLE.reduce_scatter(x) is x
    )


def test_every_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("patchvsr_core.cli.torchrun.resolve_device", torch.device)
    assert own_device("auto", 1) == own_device("cuda", 1) == torch.device("cuda:1")
    assert own_device("cpu", 5) == torch.device("cpu")
    with pytest.raises(ModelError, match="--nproc-per-node 2"):
        own_device("auto", 2)
    with pytest.raises(PlanError, match="CUDA_VISIBLE_DEVICES"):
        own_device("cuda:0", 1)


def test_a_torch_without_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.distributed, "is_available", lambda: False)
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert main(["upscale", "in.mp4", "out.mp4"]) == 2
    for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
        signal.signal(number, handler)
    assert capsys.readouterr().err.count("run without torchrun.") == 1


def sentences(errors: str) -> list[str]:
    return [line for line in errors.replace("\r", "\n").splitlines() if line.startswith("patchvsr:")]
