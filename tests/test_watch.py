"""The limit that a test has."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from watch import watch

PROGRAM = """
import sys, threading
import pytest
from watch import watch
finished = threading.Event()
watch(finished, 3, lambda: print("ended", flush=True))
print("watched", flush=True)
sys.stdin.readline()
finished.set()
print("finished", flush=True)
"""


def test_what_waits_too_long_is_ended() -> None:
    finished = threading.Event()
    watch(finished, 1, finished.set)
    assert finished.wait(30)


def test_what_finishes_is_left_alone() -> None:
    finished, ended = threading.Event(), threading.Event()
    counting = watch(finished, 1, ended.set)
    finished.set()
    counting.join()
    assert not ended.is_set()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP, which Windows lacks")
def test_time_in_which_the_machine_stood_still_does_not_count() -> None:
    command = [sys.executable, "-c", PROGRAM]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=Path(__file__).parent, **pipes) as process:
        assert process.stdout.readline() == "watched\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(3.5)
        process.send_signal(signal.SIGCONT)
        assert process.communicate("\n", timeout=30)[0] == "finished\n"
