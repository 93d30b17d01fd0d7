"""Mutated weights and fuzzed jobs: hundreds, the same every time, in a process whose memory is limited."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOM_BYTES = 2**31
"""Beside what a process has when everything is imported."""
LIMITED = f"""
import resource, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
import torch
torch.set_num_threads(1)
from pathlib import Path
import hostile
from patchvsr_core.hosts.diffusers.models import load_models
models = load_models(device="cpu")
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + {ROOM_BYTES}
resource.setrlimit(resource.RLIMIT_AS, (most, most))
first, last = int(sys.argv[2]), int(sys.argv[3])
found = hostile.load_mutated(first, last) if sys.argv[1] == "weights" else hostile.run_fuzzed_jobs(models, first, last)
sys.exit("\\n".join(found) or 0)
"""


def check_hundred(kind: str, first: int) -> None:
    """In a process with limited memory, a hundred from number ``first`` on."""
    command = [sys.executable, "-c", LIMITED, kind, str(first), str(first + 100)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
@pytest.mark.parametrize("first", range(0, 300, 100))
def test_mutated_weights_end_in_one_sentence_or_load(first: int) -> None:
    check_hundred("weights", first)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
@pytest.mark.parametrize("first", range(0, 200, 100))
def test_jobs_with_any_settings_end_in_one_sentence_or_a_result(first: int) -> None:
    check_hundred("jobs", first)
