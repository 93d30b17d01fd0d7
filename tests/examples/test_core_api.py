"""The example of the manual does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from patchvsr_core.resample import resize
from patchvsr_core.video import read_clip

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "sample.mp4"


def test_the_command_of_the_example_writes_a_larger_clip_and_judges_it(tmp_path: Path) -> None:
    result = tmp_path / "larger.mp4"
    command = [sys.executable, "-m", "examples.core_api", str(SAMPLE), str(result), "--scale", "1.5", "--frames", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Quality of 2 frames of 360x150")
    assert "Flicker" in done.stdout and "Mismatch" in done.stdout
    source, large = read_clip(SAMPLE), read_clip(result)
    assert large.frames.shape == (2, 150, 360, 3)
    assert large.info.fps == source.info.fps
    shrunk = resize(large.frames, (100, 240))
    assert (shrunk - source.frames[:2]).square().mean().sqrt() < 3 / 255


def test_joint_modulation_around_a_model_that_changes_nothing_changes_nothing() -> None:
    from examples.core_api import OwnModel, own_patches

    small = torch.rand(3, 20, 45, 3, generator=torch.Generator().manual_seed(0))
    whole = resize(small, (150, 340)).clamp(0, 1)
    assert (own_patches(small, (150, 340)) - whole).abs().max() < 1e-5
    x = torch.rand(2, 3, 4)
    (answer,) = OwnModel()(x, torch.tensor(1.0), [])
    assert answer is x
