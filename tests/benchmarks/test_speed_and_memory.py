"""The benchmarks of speed and memory: how they measure, what they find on small runs, and all of them on a GPU."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmark_calls import call
from clips import colors, write

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import attention
import measuring
import memory
import pairs
import pieces
import real_size
import realtime
import scaling
import shares
import speed
import wan_speed

from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.resample import resize


def test_variants_take_turns_and_the_warm_up_does_not_count() -> None:
    seen: list[tuple[str, int]] = []

    def variant(name: str) -> measuring.Variant:
        def ready(index: int) -> measuring.Work:
            return lambda: seen.append((name, index))

        return ready

    timings = measuring.in_turn({"a": variant("a"), "b": variant("b")}, rounds=2, warm_up=1)
    assert seen == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert len(timings["a"].wall) == len(timings["b"].cpu) == 2


def test_ratios_are_those_of_the_same_round() -> None:
    slow_machine = measuring.Timing([2.0, 20.0, 2.2]), measuring.Timing([1.0, 10.0, 1.0])
    assert slow_machine[0].ratio(slow_machine[1]) == 2
    assert slow_machine[0].median == 2.2 and slow_machine[0].spread == 10


def test_a_piece_within_another_counts_for_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 5.0, 7.0])
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    watch = measuring.Watch()
    watch.timing("outer", watch.timing("inner", lambda: None))()
    assert watch.take() == {"outer": 3, "inner": 4}
    assert watch.take() == {}


def test_the_peak_is_what_was_held_beyond_the_start() -> None:
    torch.ones(2**26).sum()  # 256 MiB that are gone when it begins
    held = torch.ones(2**23)  # 32 MiB that are there before
    peak = measuring.peak_bytes(lambda: torch.ones(2**24).sum(), "cpu") / measuring.MIB
    if math.isnan(peak):
        pytest.skip("this system does not tell")
    assert 60 < peak < 90 and held.sum() > 0


def test_what_does_not_fit_is_said() -> None:
    row: dict[str, object] = {"way": "whole"}
    with measuring.fits(row, "seconds", "mib"):
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert row == {"way": "whole", "seconds": "out of memory", "mib": "out of memory"}
    with pytest.raises(RuntimeError, match="another"), measuring.fits(row):
        raise RuntimeError("another")


def read_json(path: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert set(content) >= {"title", "command", "patchvsr", "torch", "diffusers", "device", "threads", "notes"}
    assert content["command"].startswith("python benchmarks/")
    return content["tables"]


def test_an_input_is_cut_in_the_middle(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", colors(2, 40, 120))
    clip, whole = pairs.input_clip(path, 2, (20, 20)), pairs.first_frames(path, 2)
    assert clip.shape == (2, 20, 20, 3)
    torch.testing.assert_close(clip, resize(whole[:, :, 40:80], (20, 20)).clamp(0, 1))


def test_speed_of_the_default_as_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, file = write(tmp_path / "clip.mp4", colors(3, 32, 48)), tmp_path / "out" / "speed.json"
    call(
        speed, monkeypatch, path, "--frames", 2, "--rounds", 1, "--input", "48x32", "--outputs", "96x64",
        "--patch-px", 64, "--only", "2 steps", "--json", file, "--markdown", tmp_path / "speed.md",
    )  # fmt: skip
    found = read_json(file)
    (whole,), steps = found["whole"]["rows"], {row["piece"]: row for row in found["96x64"]["rows"]}
    assert whole["frames"] == 2 and whole["patches"] >= 2
    assert sum(row["share"] for row in steps.values()) == pytest.approx(100)
    assert sum(row["seconds"] for row in steps.values()) == pytest.approx(whole["seconds"])
    denoising = sum(steps[name]["seconds"] for name in pieces.STEP)
    assert whole["outside"] == pytest.approx(100 * steps[pieces.AROUND]["seconds"] / denoising)
    assert all(steps[name]["seconds"] > 0 for name in pieces.ORDER), "a function is looked up where nobody watches"
    options = {row["option"]: row for row in found["options"]["rows"]}
    assert set(options) == {"default", *(name for name in speed.OPTIONS if "2 steps" in name)}
    assert options["default"]["ratio"] == 1 and options["2 steps"]["ratio"] > 0
    assert [options[name]["patches"] for name in ("2 steps, corner", "2 steps, alternating")] == [6, 5]
    assert "outside model calls" in (tmp_path / "speed.md").read_text(encoding="utf-8")


def test_an_option_of_two_steps_asks_the_model_twice_as_often() -> None:
    asked = {}
    for name in (speed.DEFAULT, "2 steps"):
        models, calls = load_models("tiny", device="cpu", precision="float32"), []
        models.base.transformer.register_forward_hook(lambda *_: calls.append(1))  # noqa: B023 - used up in this turn
        work, _ = speed.denoising(speed.OPTIONS[name], models, torch.rand(1, 8, 8, 3), (32, 32))
        work()
        asked[name] = len(calls)
    assert asked["2 steps"] == 2 * asked[speed.DEFAULT] > 0


def test_the_options_of_the_models_leave_the_models_alone() -> None:
    models = load_models("tiny", device="cpu", precision="float32")
    half = speed.Option(half=True).models(models)
    assert half.base.transformer.dtype == torch.bfloat16 and models.base.transformer.dtype == torch.float32
    assert half.adapter is not None and half.adapter.prompt.dtype == torch.bfloat16
    assert models.adapter is not None and models.adapter.prompt.dtype == torch.float32
    work, _ = speed.denoising(speed.Option(half=True), models, torch.rand(1, 8, 8, 3), (32, 32))
    work()


def test_patches_beside_the_whole_frame_as_they_are_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = wan_speed.one_step

    def too_large(way: wan_speed.Way, *others: Any) -> measuring.Work:
        if way.layout is None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return make(way, *others)

    small = ("--width", 128, "--blocks", 1, "--px", 64, "--frames", 5, "--rounds", 1, "--outputs", "128x96")
    for step, name in ((make, "fits.json"), (too_large, "too_large.json")):
        monkeypatch.setattr(wan_speed, "one_step", step)
        call(wan_speed, monkeypatch, *small, "--json", tmp_path / name)
    rows, too_large_rows = (
        {row["way"]: row for row in read_json(tmp_path / name)["128x96"]["rows"]}
        for name in ("fits.json", "too_large.json")
    )
    assert set(rows) == set(too_large_rows) == set(wan_speed.WAYS)
    assert rows[wan_speed.WHOLE]["patches"] == 1 and rows[wan_speed.WHOLE]["tokens"] == 2 * 6 * 8
    assert rows["patches"]["patches"] == 9 and rows["patches"]["tokens"] == 2 * 4 * 4
    assert rows["patches, alternating"]["patches"] == (4 + 9) / 2
    assert all(row["seconds"] > 0 for row in rows.values())
    assert too_large_rows[wan_speed.WHOLE]["seconds"] == "out of memory"
    assert too_large_rows["patches"]["seconds"] > 0 and "ratio" not in too_large_rows["patches"]


def test_memory_as_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "memory.json"
    call(
        memory, monkeypatch, "--outputs", "128x96", "--frames", 1, "--lengths", 3, "--length-output", "64x64",
        "--json", file,
    )  # fmt: skip
    found = read_json(file)
    (of_size,), (of_length,) = found["size"]["rows"], found["length"]["rows"]
    assert of_size["output"] == "128x96" and of_length["frames"] == 3
    assert of_size["process"] > 100 < of_length["process"]
    assert of_size["expected"] > 0 and of_length["factor"] == 1


def test_scaling_as_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "scaling.json"
    arguments = ("--side", 64, "--doublings", 1, "--frames", 1, "--rounds", 1, "--patch-px", 32)
    call(scaling, monkeypatch, *arguments, "--json", file)
    first, second = read_json(file)["scaling"]["rows"]
    assert (first["output"], second["output"]) == ("64x64", "128x64")
    growth = second["patched"] / first["patched"]
    assert first["patched_growth"] == 1 and second["patched_growth"] == pytest.approx(growth)
    assert 0 < first["networks"] < 100 and first["ratio"] == pytest.approx(first["full"] / first["patched"])


def test_one_step_at_the_real_size_as_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "real_size.json"
    call(real_size, monkeypatch, "--width", 128, "--px", 64, "--frames", 1, "--json", file)
    rows = {row["step"]: row for row in read_json(file)["real_size"]["rows"]}
    assert rows["inference"]["first"] > 0 and rows["training"]["gib"] >= rows["inference"]["gib"] > 0
    assert rows["inference"]["seconds"] is None, "a processor does it once"


def test_plots_are_made_of_results_and_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="pip install -r benchmarks/requirements.txt")
    import plots

    sizes = [{"output": f"{k}x{k}", "frames": 2, "beyond": 3.0 * k, "expected": 1.0 * k} for k in (720, 1080)]
    sizes.append({"output": "4000x4000", "frames": 2, "beyond": "out of memory", "expected": 4000.0})
    lengths = [{"output": "64x64", "frames": k, "process": 600.0} for k in (40, 400)]
    rows = [{"pixels": k * 10**6, "patched": 1.0 * k, "full": 1.0 * k * k} for k in (1, 2)]
    rows.append({"pixels": 4 * 10**6, "patched": 4.0, "full": "out of memory"})
    results = {
        "memory": {"size": {"rows": sizes}, "length": {"rows": lengths}},
        "scaling": {"scaling": {"rows": rows}},
    }
    for name, parts in results.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"device": "a GPU", "tables": parts}), encoding="utf-8")
    call(plots, monkeypatch, "--results", tmp_path, "--out", tmp_path / "docs")
    made = {path.name: path.stat().st_size for path in (tmp_path / "docs").iterdir()}
    assert set(made) == {"time_against_pixels.png", "peak_memory.png"}
    assert all(4_000 < size < 60_000 for size in made.values())


GPU_ALL = Path(__file__).parents[2] / "benchmarks" / "gpu_all.sh"
needs_bash = pytest.mark.skipif(not shutil.which("bash") or not shutil.which("timeout"), reason="needs bash, timeout")


def run_all(tmp_path: Path, script: str, *arguments: str, seconds: int = 60) -> subprocess.CompletedProcess[str]:
    """gpu_all.sh with a shell script in the place of Python."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    python.chmod(0o755)
    environment = os.environ | {"PYTHON": str(python), "TOTAL_SECONDS": str(seconds)}
    command = ["bash", str(GPU_ALL), *arguments, str(tmp_path / "out")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)


@needs_bash
def test_a_part_that_fails_does_not_stop_the_rest(tmp_path: Path) -> None:
    done = run_all(tmp_path, 'case "$*" in *speed.py*) echo no kernel image; exit 3;; esac', "--dry")
    summary = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert done.returncode == 1 and "no kernel image" in done.stderr
    assert "| speed | failed (3) |" in summary and "| attention | passed |" in summary
    assert "no kernel image" in (tmp_path / "out" / "speed.log").read_text(encoding="utf-8")


@needs_bash
def test_no_part_takes_more_time_than_there_is(tmp_path: Path) -> None:
    done = run_all(tmp_path, 'case "$*" in *scaling.py*) exec sleep 60;; esac', "--dry", seconds=2)
    summary = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert done.returncode == 1
    assert "| memory | passed |" in summary and "| scaling | out of time |" in summary
    assert "| attention | no time left |" in summary


class Understood(Exception):
    """A script has read its arguments."""


@needs_bash
def test_the_commands_for_a_gpu_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_all(tmp_path, 'case "$1" in -c) echo 1;; esac; echo "$@"')
    assert done.returncode == 0, done.stderr
    read: list[str] = []

    def stop(parser: argparse.ArgumentParser) -> None:
        options = parser.parse_args()
        assert options.device == "cuda" and options.json
        raise Understood

    for log in (tmp_path / "out").glob("*.log"):
        script, *arguments = log.read_text(encoding="utf-8").split()
        module = {Path(one.__file__).name: one for one in MEASURED if one.__file__}.get(Path(script).name)
        if module is not None:
            monkeypatch.setattr(module, "parsed", stop)
            with pytest.raises(Understood):
                call(module, monkeypatch, *arguments)
            read.append(log.stem)
    expected = {"speed", "wan_speed", "memory", "scaling", "realtime", "real_size", "attention", "compiled"}
    assert set(read) == expected


MEASURED = (attention, memory, real_size, realtime, scaling, speed, wan_speed)


def test_shares_of_a_frame_are_those_of_the_run(tmp_path: Path) -> None:
    """Every piece that runs is found under its name: a renamed function would leave its time to the rest."""
    clip = write(tmp_path / "in.mp4", colors(4, 24, 32))
    for arguments, named in (
        ((), {shares.FLOW, shares.NETWORK, shares.PROJECTION}),
        (("--fast", "dap"), {shares.NETWORK}),
    ):
        rows, target = shares.shares_of(clip, 4, arguments, rounds=1)
        seconds = {row["piece"]: row["seconds"] for row in rows}
        assert target == "128x96" and {shares.READING, shares.ENCODING, *named} <= seconds.keys()
        assert seconds["all"] == pytest.approx(sum(seconds.values()) - seconds["all"])
        assert rows[-1]["share"] == 100 and seconds[shares.NETWORK] > seconds[shares.READING]
