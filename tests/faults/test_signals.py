"""Every way to stop a run, at random moments: one sentence, nothing left over, and it resumes to the same bytes."""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path

import pytest
from command import finish, finished_chunks, small_clip, start, upscale, wait_until

from patchvsr_core.video.target_lock import lock_file_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs signals that Windows lacks")
WAYS = {
    "SIGINT": ["SIGINT"],
    "SIGTERM": ["SIGTERM"],
    "SIGHUP": ["SIGHUP"],
    "three times Ctrl+C": ["SIGINT"] * 3,
    "all at once": ["SIGINT", "SIGTERM", "SIGHUP", "SIGTERM"],
}
TIMES = 4


@pytest.mark.parametrize("way", WAYS)
def test_a_stopped_run_says_one_sentence_and_resumes(tmp_path: Path, way: str) -> None:
    source, whole, moments = small_clip(tmp_path / "in.mp4", 90), tmp_path / "whole.mp4", random.Random(way)
    assert upscale(source, whole) == (0, [])
    for number in range(TIMES):
        output = tmp_path / f"{number}.mp4"
        process, pause = start(source, output), moments.uniform(0, 0.02)
        wait_until(lambda output=output: finished_chunks(output), process)
        time.sleep(moments.uniform(0, 0.3))
        for name in WAYS[way]:
            process.send_signal(getattr(signal, name))
            time.sleep(pause)
        code, said = finish(process)
        sentences = [line for line in said if not line.startswith("chunk ")]
        assert (code, len(sentences)) in ((130, 1), (0, 0)), (way, code, said)
        assert all("patchvsr: stopped" in line for line in sentences)
        assert not lock_file_of(output).exists() and not list(tmp_path.glob(".*.part*"))
        assert output.exists() or upscale(source, output) == (0, [])
        assert output.read_bytes() == whole.read_bytes()


def test_nohup_keeps_a_run_alive(tmp_path: Path) -> None:
    source, output = small_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    process = start(source, output, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_until(lambda: finished_chunks(output), process)
    process.send_signal(signal.SIGHUP)
    assert finish(process) == (0, [])
