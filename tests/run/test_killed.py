"""A job that is killed again and again: nothing is lost, and the file comes out as if nothing had happened."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from clips import colors, write

KILLS = int(os.environ.get("PATCHVSR_KILLS", "3"))
JOB = Path(__file__).parents[1] / "slow_job.py"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGKILL")
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Set PATCHVSR_KILLS for more than the usual few."""
    source = write(tmp_path / "in.mp4", colors(80, 32, 48))
    subprocess.run([sys.executable, JOB, source, tmp_path / "whole.mp4"], check=True, capture_output=True)
    output, rng, started, kills = tmp_path / "out.mp4", random.Random(0), [], 0
    while not output.exists():
        process = subprocess.Popen([sys.executable, JOB, source, output], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        seen = [process.stdout.readline()]  # it works now
        timer = threading.Timer(rng.uniform(0.0, 0.6), process.send_signal, [signal.SIGKILL])
        if kills < KILLS:
            timer.start()
            kills += 1
        seen += process.stdout.readlines()
        process.wait()
        timer.cancel()
        started.append([int(line) for line in seen if line.strip()])
    for before, after in itertools.pairwise(started):
        assert after[0] - before[-1] in (0, 1), "at most the chunk in work is made again"
    assert output.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
