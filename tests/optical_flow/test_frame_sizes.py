"""No frame size ends the process: OpenCV reads beyond frames that are small for its pyramid."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from patchvsr_core.optical_flow.inverse_search import DenseInverseSearch

ROOT = Path(__file__).resolve().parents[2]
SIDES = (1, 2, 3, 8, 12, 15, 16, 17, 20, 24, 28, 31, 32, 33, 40, 64, 79, 80, 97, 128, 333)
"""441 sizes: wide, tall and tiny ones, and both sides of every limit."""

EVERY_SIZE = """
import itertools, sys
import cv2, numpy as np
from patchvsr_core.optical_flow.estimators import QUALITIES
from patchvsr_core.optical_flow.inverse_search import DenseInverseSearch
from patchvsr_core.video.shot_detection import ShotDetector

cv2.setNumThreads(1)
noise = np.random.default_rng(0).integers(0, 256, (2, 333, 333, 3), dtype=np.uint8)
for width, height in itertools.product(map(int, sys.argv[1:]), repeat=2):
    first, second = (np.ascontiguousarray(picture[:height, :width]) for picture in noise)
    print(f"shots of {width} x {height}", flush=True)  # the last line names what ended the process
    finder = ShotDetector()
    finder.begins_shot(first // 8)
    finder.begins_shot(second)
    for quality in QUALITIES:
        print(f"{quality} flow of {width} x {height}", flush=True)
        flow = DenseInverseSearch(quality).measure(first[..., 0], second[..., 0])
        assert flow.shape == (height, width, 2) and np.isfinite(flow).all()
print("all")
"""


def test_no_frame_size_ends_the_process() -> None:
    command = [sys.executable, "-c", EVERY_SIZE, *map(str, SIDES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["all"], (done.returncode, done.stdout[-40:], done.stderr[-500:])


@pytest.mark.parametrize("quality", ["ultrafast", "fast", "medium"])
@pytest.mark.parametrize("size", [(16, 16), (16, 79), (17, 60), (31, 79), (32, 80), (32, 400), (64, 90), (300, 20)])
def test_sizes_that_opencv_reads_rightly_are_not_padded(quality: str, size: tuple[int, int]) -> None:
    first, second = np.random.default_rng(1).integers(0, 256, (2, *size), dtype=np.uint8)
    engine = cv2.DISOpticalFlow.create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{quality.upper()}"))
    assert np.array_equal(DenseInverseSearch(quality).measure(first, second), engine.calc(first, second, None))


def test_dense_inverse_search_is_called_in_one_place() -> None:
    def calls_it(file: Path) -> bool:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        return any(isinstance(node, ast.Attribute) and "DISOpticalFlow" in node.attr for node in ast.walk(tree))

    files = [file for folder in ("patchvsr_core", "nodes") for file in (ROOT / folder).rglob("*.py")]
    callers = [file.relative_to(ROOT).as_posix() for file in files if calls_it(file)]
    assert callers == ["patchvsr_core/optical_flow/inverse_search.py"]
