"""A run killed at twenty random moments: nothing is lost, and the file is the one of a run without disturbance."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from clips import colors, write

KILLS = 20
JOB = Path(__file__).parents[1] / "slow_job.py"


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL, which Windows lacks")
def test_killed_twenty_times_it_gives_the_same_file(tmp_path: Path) -> None:
    source = write(tmp_path / "in.mp4", colors(120, 32, 48))
    subprocess.run([sys.executable, JOB, source, tmp_path / "whole.mp4"], check=True, capture_output=True)
    output, moments, started = tmp_path / "out.mp4", random.Random(1), []
    while not output.exists():
        process = subprocess.Popen([sys.executable, JOB, source, output], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        seen = [process.stdout.readline()]  # it works now
        timer = threading.Timer(moments.uniform(0.0, 0.25), process.send_signal, [signal.SIGKILL])
        if len(started) < KILLS:
            timer.start()
        seen += process.stdout.readlines()
        process.wait()
        timer.cancel()
        started.append([int(line) for line in seen if line.strip()])
    assert len(started) == KILLS + 1, "every kill met a run at work"
    for before, after in itertools.pairwise(started):
        assert after[0] - before[-1] in (0, 1), "at most the chunk in work is made again"
    assert output.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
