"""Shots and chunks of a real clip, through the shipped model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from clips import write
from torch import Tensor

from patchvsr_core.hosts.diffusers.models import Models, load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.plan.chunks import plan_chunks
from patchvsr_core.run.job import Job
from patchvsr_core.run.video_job import upscale_file
from patchvsr_core.video import probe, read_clip, read_frames, scan
from patchvsr_core.video.chunk_files import Encoding

SAMPLE = Path(__file__).parents[2] / "examples" / "sample.mp4"
SIZE = (96, 128)


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models("tiny", device="cpu")


@pytest.fixture(scope="module")
def shots() -> list[Tensor]:
    """Three places of the sample, 7 frames each, that look different."""
    frames = read_frames(SAMPLE, 24)
    corners = [(0, 0), (40, 90), (20, 170)]
    parts = [frames[7 * k : 7 * k + 7, y : y + 48, x : x + 64] for k, (y, x) in enumerate(corners)]
    parts[1] = 1 - parts[1]
    return parts


def made(models: Models, path: Path, **choices: int) -> Tensor:
    """The frames of the file that the engine makes, lossless."""
    output = path.with_name(path.stem + "_out.mkv")
    settings = replace(models.defaults, base_layer="bicubic", patch_px=64)
    job = Job(probe(path), output, SIZE, settings, **{"chunk_frames": 50, "overlap_frames": 2} | choices)
    job = replace(job, encoding=Encoding(codec="ffv1"))
    upscale_file(job, scan(path), models, work=upscale, weights="", report=lambda *_: None)
    return read_clip(output).frames


def test_nothing_crosses_a_cut(tmp_path: Path, models: Models, shots: list[Tensor]) -> None:
    joined = write(tmp_path / "joined.mkv", torch.cat(shots), codec="ffv1")
    assert scan(joined).cuts == (7, 14)
    result = made(models, joined)
    for k, shot in enumerate(shots):
        alone = made(models, write(tmp_path / f"shot{k}.mkv", shot, codec="ffv1"))
        assert (result[7 * k : 7 * k + 7] - alone).abs().max() <= 1.01 / 255


def test_chunk_borders_do_not_show(tmp_path: Path, models: Models) -> None:
    """The change from frame to frame where chunks meet is what it is in a clip made as a whole."""
    frames = read_frames(SAMPLE, 21)[:, :48, :64]
    path = write(tmp_path / "clip.mkv", frames, codec="ffv1")
    whole, chunked = made(models, path), made(models, path, chunk_frames=9)
    chunks = plan_chunks(21, (), 9, 2)
    assert len(chunks) == 3
    steps = [(clip.diff(dim=0).abs().mean((1, 2, 3))) for clip in (whole, chunked)]
    ratio = steps[1] / steps[0]
    for chunk in chunks[1:]:
        at = ratio[chunk.first - 1 : chunk.first + chunk.lead]
        around = torch.cat([ratio[chunk.first - 4 : chunk.first - 1], ratio[chunk.first + chunk.lead :][:3]])
        assert (at / around.mean() - 1).abs().max() < 0.05
