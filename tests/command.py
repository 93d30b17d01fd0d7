"""The command line: in the process of the tests, or in one of its own on a job of many small chunks."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from clips import colors, write

from patchvsr_core.__main__ import main

ROOT = Path(__file__).parents[1]
CHUNK = 6
STOP_AFTER_S = 120


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command in this process, which saves the seconds that torch and diffusers take to load."""
    out, errors = io.StringIO(), io.StringIO()
    warnings = logging.StreamHandler(errors)  # as Python does where nobody has set up logging
    warnings.setLevel(logging.WARNING)
    logging.getLogger().addHandler(warnings)
    try:
        with redirect_stdout(out), redirect_stderr(errors):
            code = main([*map(str, arguments)])
    except SystemExit as end:  # of argparse
        code = int(end.code or 0)
    finally:
        logging.getLogger().removeHandler(warnings)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), errors.getvalue())


def small_clip(path: Path, frames: int = 60) -> Path:
    return write(path, colors(frames, 32, 48))


def start(source: Path, output: Path, *more: object, **choices: Any) -> subprocess.Popen[str]:
    """With a real-time network, which takes a tenth of a second a chunk; the clip must not be overlapped."""
    command = [
        sys.executable,
        "-m",
        "patchvsr_core",
        "upscale",
        source,
        output,
        "--fast",
        "dap",
        "--chunk-frames",
        CHUNK,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **choices.pop("environment", {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    if os.name == "posix":  # a shell in the background makes its children deaf to Ctrl+C
        choices.setdefault("preexec_fn", lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    return subprocess.Popen([*map(str, command), *map(str, more)], cwd=ROOT, env=environment, **pipes, **choices)


def finish(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """(exit code, sentences); what the bars and the estimate print is left out."""
    _, errors = process.communicate(timeout=STOP_AFTER_S)
    lines = [line for line in errors.replace("\r", "\n").splitlines() if "|" not in line and ": about" not in line]
    return process.returncode, [line for line in lines if line.strip()]


def upscale(source: Path, output: Path, *more: object, **choices: Any) -> tuple[int, list[str]]:
    return finish(start(source, output, *more, **choices))


def wait_until(ready: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for something to happen while a process works."""
    until = time.monotonic() + STOP_AFTER_S
    while not ready() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    assert ready(), "the run ended too early"


def finished_chunks(output: Path) -> list[Path]:
    from patchvsr_core.video.journal import folder_of

    return sorted(folder_of(output).glob("*.seal"))
