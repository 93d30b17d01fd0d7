"""The command line as users call it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from clips import audio_packets, colors, with_audio, write
from command import call
from small_models import random_adapter

from patchvsr_core.__main__ import main
from patchvsr_core.adapter import BaseSpec, save_adapter
from patchvsr_core.resample import resize
from patchvsr_core.video import read_clip

ROOT = Path(__file__).parents[2]


STAGES = ("encode", "denoise", "decode", "refine", "fidelity")


def start(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, as a user starts it."""
    command = [sys.executable, "-m", "patchvsr_core", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line and not line.lstrip("\r").startswith(STAGES)]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("patchvsr: ") and lines[0].endswith(".")
    for word in words:
        assert word in lines[0]


def test_upscale_keeps_frames_timing_and_audio(tmp_path: Path) -> None:
    source = with_audio(tmp_path / "in.mp4", colors(7, 26, 34))
    done = start("upscale", source, tmp_path / "out.mp4", "--scale", 3)
    assert done.returncode == 0, done.stderr
    assert "7 frames of 102x78" in done.stdout
    out, given = read_clip(tmp_path / "out.mp4"), read_clip(source)
    assert out.frames.shape == (7, 78, 102, 3)
    times = [[float(t * clip.time_base) for t in clip.timestamps] for clip in (out, given)]
    assert times[0] == pytest.approx(times[1], abs=1e-3)
    assert audio_packets(tmp_path / "out.mp4") == audio_packets(source)
    assert "7/7 frames" in done.stderr


def test_options_without_effect_are_named(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4", colors(2, 16, 16))
    idle = call("upscale", source, tmp_path / "idle.mp4", "--steps", 2, "--fidelity-rounds", 3)
    assert idle.returncode == 0, idle.stderr
    assert "--steps has no effect; add --patch-detail 0.5" in idle.stderr and "rounds" not in idle.stderr
    for number, chosen in enumerate((("--patch-detail", 0.5), ("--base-layer", "bicubic"), ())):
        used = call("upscale", source, tmp_path / f"{number}.mp4", *chosen, *(("--steps", 2) if chosen else ()))
        assert used.returncode == 0 and "no effect" not in used.stderr, used.stderr


def test_exact_size_and_options(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4", colors(2, 26, 34))
    done = call(
        "upscale", source, tmp_path / "out.mkv", "--size", "111x0", "--steps", 2, "--solver", "heun",
        "--layout", "alternating", "--seed", 3, "--color", "adain", "--patch-px", 64, "--patches-at-once", 2,
        "--detail", 0.5,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read_clip(tmp_path / "out.mkv").frames.shape == (2, 85, 111, 3)


def test_a_strength_map_protects(tmp_path: Path) -> None:
    source, picture = write(tmp_path / "in.mkv", colors(2, 26, 34), codec="ffv1"), tmp_path / "map.png"
    cv2.imwrite(str(picture), np.zeros((52, 68), np.uint8))
    done = call("upscale", source, tmp_path / "out.mkv", "--scale", 2, "--codec", "ffv1", "--strength-map", picture)
    assert done.returncode == 0, done.stderr
    base = resize(read_clip(source).frames, (52, 68)).clamp(0, 1)
    assert (read_clip(tmp_path / "out.mkv").frames - base).abs().max() <= 1.01 / 255
    done = call("upscale", source, tmp_path / "other.mkv", "--strength-map", tmp_path / "none.png")
    assert_one_sentence(done, "none.png")


def test_plan_says_counts_memory_and_time(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4", colors(9, 64, 128))
    alone = call("plan", source, "--scale", 4)
    assert alone.returncode == 0, alone.stderr
    assert "512x256" in alone.stdout and "the restorer alone" in alone.stdout and "patches" not in alone.stdout
    done = call("plan", source, "--scale", 4, "--patch-detail", 0.5)
    assert done.returncode == 0, done.stderr
    assert "9 x 32 x 64" in done.stdout and "1 of up to 9 frames" in done.stdout
    assert "patches    6 of 8 x 32 x 32" in done.stdout
    assert "6 primary" in done.stdout and "0 auxiliary" in done.stdout
    assert "GiB" in done.stdout and "about" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.mp4", "out.mp4"], ["missing.mp4"]),
        (["{video}", "out.mp4", "--scale", "400"], ["400", "between 1 and 16"]),
        (["{video}", "out.mp4", "--scale", "0.5"], ["0.5"]),
        (["{video}", "out.mp4", "--size", "huge"], ["WIDTHxHEIGHT"]),
        (["{video}", "out.mp4", "--size", "99999x99999"], ["16384"]),
        (["{video}", "out.mp4", "--size", "8x8"], ["is smaller than the input"]),
        (["{video}", "out.gif"], [".mp4"]),
        (["{video}", "nowhere/out.mp4"], ["create it first"]),
        (["{video}", "out.mp4", "--model", "nothing.safetensors"], ["nothing.safetensors"]),
        (["{video}", "out.mp4", "--adapter", "{adapter}"], ["latent channels"]),
        (["{video}", "out.mp4", "--steps", "0"], ["between 1 and 1000"]),
        (["{video}", "out.mp4", "--patch-px", "100"], ["multiple of 16"]),
        (["{video}", "out.mp4", "--device", "abacus"], ["abacus"]),
        (["{text}", "out.mp4"], ["cannot be opened"]),
        (["{video}", "in.mp4"], ["the input itself"]),
        (["{video}", "."], ["has other files in it"]),
        (["{video}", "out.mp4", "--patches-at-once", "-1"], ["patches_at_once", "at least 0"]),
        (["{video}", "out.mp4", "--skip-interval", "0"], ["skip_interval", "between 1 and 100"]),
        (["{video}", "out.mp4", "--seed", "99999999999999999999"], ["seed"]),
        (["{video}", "out.mp4", "--fidelity-strength", "-3"], ["between 0.0 and 1.0"]),
        (["{video}", "out.mp4", "--vae", "vae.safetensors"], ["no VAE"]),
        (["{video}", "out.mp4", "--layout", "alternating"], ["2 steps"]),
        (["{video}", "out.mp4", "--device", "meta"], ["meta"]),
        (["{video}", "out.mp4", "--size", "²x0"], ["WIDTHxHEIGHT"]),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    names = {"video": tmp_path / "in.mp4", "adapter": tmp_path / "a.safetensors", "text": tmp_path / "text.mp4"}
    write(names["video"], colors(2, 16, 16))
    names["text"].write_text("no video")
    save_adapter(random_adapter(BaseSpec(16, 128, 2, 192, 64)), names["adapter"], torch.float32)
    before = sorted(tmp_path.iterdir())
    filled = [argument.format(**names) for argument in arguments]
    filled[1] = str(tmp_path / filled[1])
    done = call("upscale", *filled)
    assert_one_sentence(done, *words)
    assert sorted(tmp_path.iterdir()) == before


def test_read_only_folder(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4", colors(2, 16, 16))
    assert_one_sentence(call("upscale", source, "/proc/out.mp4"), "cannot be written")


def test_help_and_version() -> None:
    assert "upscale" in call("--help").stdout
    assert start("--version").stdout.startswith("PatchVSR 0.")


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Runs the command line, whose work fails of an error."""
    source = write(tmp_path / "in.mp4", colors(2, 16, 16))

    def run_failing(error: BaseException) -> int:
        def fail(*arguments: object, **options: object) -> None:
            raise error

        monkeypatch.setattr("patchvsr_core.run.video_job.upscale_file", fail)
        monkeypatch.setattr("patchvsr_core.cli.commands._print_estimate", lambda *_: None)
        return main(["upscale", str(source), str(tmp_path / "out.mp4")])

    return run_failing


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8589934592 bytes."),
    ],
    ids=["GPU", "Python", "CPU", "CPU of Windows"],
)
def test_running_out_of_memory_says_what_to_do(
    error: BaseException, failing: Callable[[BaseException], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(error) == 2
    assert "--patch-px" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]


@pytest.mark.parametrize("text", ["CUDA error: an illegal memory access was encountered", "unpinned memory format"])
def test_another_error_that_speaks_of_memory_is_not_taken_for_it(
    text: str, failing: Callable[[BaseException], int]
) -> None:
    with pytest.raises(RuntimeError, match=text):
        failing(RuntimeError(text))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGTERM")
def test_a_stopped_run_cleans_up(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4", colors(40, 64, 64))
    command = [sys.executable, "-m", "patchvsr_core", "upscale", str(source), str(tmp_path / "out.mp4")]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        while "base" not in said and (character := process.stderr.read(1)):
            said += character
        process.terminate()
        assert process.wait(60) == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]
