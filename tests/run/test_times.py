"""Times of earlier runs: one slow run changes nothing, and no file can break anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from patchvsr_core.adapter import BaseSpec
from patchvsr_core.run.times import KEPT, RunTimes, patch_kind, stage_kind, throughput

SMALL, LARGE = BaseSpec(16, 1536, 30, 8960, 4096), BaseSpec(16, 5120, 40, 13824, 4096)
REFINE = stage_kind("refine")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "times.json"


@pytest.mark.parametrize("busy", range(3))
def test_one_run_on_a_busy_machine_does_not_stay(path: Path, busy: int) -> None:
    """Wherever it falls, also when it was the first: two runs later nothing is left of it."""
    times = RunTimes(path)
    for run in range(3):
        times.add("cpu", REFINE, 50.0 if run == busy else 1.0 + run / 100)
    assert times.typical("cpu")[REFINE] < 1.1


def test_a_machine_that_became_slower_is_believed(path: Path) -> None:
    times = RunTimes(path)
    for seconds in [1.0] * 20 + [3.0] * KEPT:
        times.add("cpu", REFINE, seconds)
    assert times.typical("cpu") == {REFINE: 3.0}
    assert json.loads(path.read_text()) == {"cpu": {REFINE: [3.0] * KEPT}}


def test_the_next_process_reads_what_this_one_wrote(path: Path) -> None:
    RunTimes(path).add("cpu", REFINE, 1.5)
    assert RunTimes(path).typical("cpu") == {REFINE: 1.5}
    assert RunTimes(path).typical("another") == {}
    assert list(path.parent.iterdir()) == [path]


HOSTILE = [
    "",
    "\x00",
    "[1]",
    "null",
    "[" * 100_000,
    '{"cpu": ' * 50_000,
    '{"cpu": 3}',
    '{"cpu": {"stage|refine": 1}}',
    '{"cpu": {"stage|refine": ["a", null, true, {}, [1]]}}',
    '{"cpu": {"stage|refine": [Infinity, -Infinity, NaN, 0, -1, 1e300]}}',
    '{"cpu": {"stage|refine": [' + "9" * 400 + "]}}",
    '{"cpu": {"stage|refine": [' + "9" * 5000 + "]}}",
    '{"cpu": {"patch|wan": [1], "patch|wan 1x1x1|" : [1], "patch|wan axbxc|1": [1], "|": [1], "": [1]}}',
    '{"cpu": {"stage|refine": [' + "1," * 1_000_000 + "1]}}",
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_a_broken_or_tampered_file_is_as_good_as_none(path: Path, content: str) -> None:
    path.write_text(content)
    times = RunTimes(path)
    assert times.typical("cpu") == {} and throughput(times.typical("cpu"), "wan").stages == {}
    times.add("cpu", REFINE, 1.0)
    assert RunTimes(path).typical("cpu") == {REFINE: 1.0}


@pytest.mark.parametrize("kind", ["patch|wan 0x0x0|5", "patch|wan 4x1x4|0", "patch|wan 0x1x0|7"])
def test_a_base_or_a_patch_of_nothing_is_none(path: Path, kind: str) -> None:
    path.write_text(json.dumps({"cpu": {kind: [1.0]}}))
    assert throughput(RunTimes(path).typical("cpu"), "wan").patch_seconds(100) is None


def test_a_file_of_a_hundred_megabytes_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    assert RunTimes(path).typical("cpu") == {}


def test_bytes_that_are_no_text(path: Path) -> None:
    path.write_bytes(bytes(range(256)))
    assert RunTimes(path).typical("cpu") == {}


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan"), 1e9])
def test_no_impossible_time_is_kept(path: Path, seconds: float) -> None:
    times = RunTimes(path)
    times.add("cpu", REFINE, seconds)
    assert times.typical("cpu") == {} and not path.exists()


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = RunTimes(tmp_path / "missing" / "times.json")
    with caplog.at_level("INFO"):
        times.add("cpu", REFINE, 1.0)
    assert times.typical("cpu") == {REFINE: 1.0} and "could not be written" in caplog.text


def test_of_the_sizes_of_a_family_the_last_one_counts(path: Path) -> None:
    times = RunTimes(path)
    five = BaseSpec(48, 3072, 30, 14336, 4096)
    for family, spec, seconds in (("wan", SMALL, 1.0), ("wan", LARGE, 4.0), ("wan22", five, 9.0)):
        times.add("cpu", patch_kind(family, spec, 100), seconds)
    assert throughput(times.typical("cpu"), "wan").patches == {100: 4.0}
    times.add("cpu", patch_kind("wan", SMALL, 100), 1.0)
    assert throughput(times.typical("cpu"), "wan").patches == {100: 1.0}
    assert throughput(times.typical("cpu"), "wan22").patches == {100: 9.0}
    assert throughput(times.typical("cpu"), "tiny").patches == {}


def test_stages_belong_to_a_family_or_to_all(path: Path) -> None:
    times = {REFINE: 1.0, stage_kind("decode", "wan"): 2.0, stage_kind("decode", "tiny"): 3.0}
    assert throughput(times, "wan").stages == {"refine": 1.0, "decode": 2.0}


def test_a_planner_that_sees_a_shared_codec_counts_the_model_that_ran_last(path: Path) -> None:
    times = RunTimes(path)
    times.add("cpu", patch_kind("wan", SMALL, 100), 1.0)
    times.add("cpu", stage_kind("decode", "wan"), 2.0)
    times.add("cpu", patch_kind("cosmos", LARGE, 100), 4.0)
    found = throughput(times.typical("cpu"), "wan")
    assert (found.patches, found.stages) == ({100: 4.0}, {"decode": 2.0})
    times.add("cpu", patch_kind("wan", SMALL, 100), 1.0)
    assert throughput(times.typical("cpu"), "wan").patches == {100: 1.0}
    named = throughput(times.typical("cpu"), "cosmos")
    assert (named.patches, named.stages) == ({100: 4.0}, {"decode": 2.0}), "by its own name it is itself"
