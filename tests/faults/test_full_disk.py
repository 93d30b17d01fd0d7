"""Disks of six sizes that become full: one sentence, nothing is lost, and the result is the same with more space."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import colors, write
from jobs import enlarge, run
from small_disk import small_disk
from torch import Tensor

from patchvsr_core.errors import OutputError
from patchvsr_core.run.job import Job
from patchvsr_core.settings import TINY
from patchvsr_core.video import probe

PARTS = {"out.mp4": (0.02, 0.2, 0.5, 0.9, 1.2, 1.7), "%04d.png": (0.02, 0.1, 0.2, 0.4, 0.6, 0.9)}
"""Of the size of the result; chunks of a video and the result take twice as much, images are links to the chunks'."""


def noisy(frames: Tensor, target: tuple[int, int], *others: Any, noise: Any, chunk_state: Any = None) -> Tensor:
    grain = torch.rand(len(frames), *target, 3, generator=torch.Generator().manual_seed(int(frames.sum())))
    return (enlarge(frames, target, noise=noise) + grain) / 2


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount to make a small disk")
@pytest.mark.parametrize(("name", "part"), [(name, part) for name, parts in PARTS.items() for part in parts])
def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path, name: str, part: float) -> None:
    source, folder, disk = write(tmp_path / "in.mp4", colors(23, 32, 48)), tmp_path / "whole", tmp_path / "disk"
    folder.mkdir()
    disk.mkdir()
    job = Job(probe(source), folder / name, (256, 384), TINY, chunk_frames=8, overlap_frames=0)
    run(job, noisy)
    whole = {file.name: file.read_bytes() for file in folder.iterdir()}
    tail = 4096 * 40
    with small_disk(disk, round(sum(map(len, whole.values())) * part) + tail) as enlarge_disk:
        with pytest.raises(OutputError, match=r"free some space|choose another folder") as said:
            run(replace(job, output=disk / name), noisy)
        assert "\n" not in str(said.value)
        assert not [file for file in disk.iterdir() if not file.name.startswith(".")], "no part of a result"
        kept = len(list(disk.rglob("*.seal")))
        enlarge_disk()
        assert len(run(replace(job, output=disk / name), noisy)) == 3 - kept
        assert {file.name: file.read_bytes() for file in disk.iterdir()} == whole
