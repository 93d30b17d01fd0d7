"""SeedVR2 in Upscale Video: no prompt, its condition for every chunk, long clips that stream and resume."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("seedvr2")
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    command = [python, str(Path(__file__).with_name("seedvr2_video.py")), os.environ["COMFYUI_DIR"], str(ROOT)]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "found.json").read_text())


def test_the_condition_of_a_chunk_is_what_the_node_of_core_makes(found: dict) -> None:
    assert found["conditions"] == 0


def test_a_clip_in_chunks_comes_out_whole_with_the_defaults_of_the_family(found: dict) -> None:
    assert found["shape"] == [14, 96, 128, 3]
    assert found["settings"] == [1, "lab", "corner"]
    assert found["colour"] < 0.02, "lab keeps the colours of the input, whatever random weights make"


def test_a_run_that_was_stopped_resumes_to_the_identical_file(found: dict) -> None:
    whole, before, after = found["calls"]
    assert before + after < 1.5 * whole and after < whole, "chunks that were finished are not made again"
    assert found["same_frames"] and found["same_bytes"]
