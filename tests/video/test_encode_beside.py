"""Frames are encoded while the next ones are made; whatever fails, nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import colors, write
from jobs import run
from torch import Tensor

from patchvsr_core.errors import OutputError
from patchvsr_core.realtime.upscaler import load_fast, upscale_chunk
from patchvsr_core.run.job import Job
from patchvsr_core.run.oom_backoff import OOMBackoff
from patchvsr_core.run.video_job import upscale_file
from patchvsr_core.settings import TINY
from patchvsr_core.video import probe
from patchvsr_core.video.encode_beside import WAITING_FRAMES, EncodeBeside
from patchvsr_core.video.reader import read_clip, scan

FRAMES = 3 * WAITING_FRAMES
STUCK_S = 60


def test_a_frame_is_encoded_before_the_next_chunk_of_work_is_done() -> None:
    seen: list[float] = []
    first = threading.Event()

    def encode(frames: Iterable[Tensor]) -> None:
        for frame in frames:
            seen.append(float(frame))
            first.set()

    with EncodeBeside(encode) as beside:
        beside.put(torch.tensor(0.0))
        assert first.wait(STUCK_S), "the first frame waits for others"
        for value in range(1, FRAMES):
            beside.put(torch.tensor(float(value)))
    assert seen == [*map(float, range(FRAMES))]


@pytest.mark.parametrize("good", [0, 2, FRAMES])
def test_what_the_encoder_raises_is_raised_where_frames_are_made(good: int) -> None:
    def encode(frames: Iterable[Tensor]) -> None:
        for number, _ in enumerate(frames):
            if number == good:
                raise OutputError("full")
        raise OutputError("full")

    with pytest.raises(OutputError, match="full"), EncodeBeside(encode) as beside:
        for _ in range(FRAMES):
            beside.put(torch.zeros(1))


def test_frames_of_work_that_fails_are_not_kept() -> None:
    ends: list[str] = []

    def encode(frames: Iterable[Tensor]) -> None:
        try:
            for _ in frames:
                pass
            ends.append("complete")
        except Exception:
            ends.append("given up")
            raise

    with pytest.raises(KeyboardInterrupt), EncodeBeside(encode) as beside:
        beside.put(torch.zeros(1))
        raise KeyboardInterrupt
    assert ends == ["given up"]


def a_job(folder: Path, name: str, **changes: Any) -> Job:
    source = folder / "in.mp4"
    if not source.exists():
        write(source, colors(13, 24, 32))
    return Job(probe(source), folder / name, (48, 64), None, chunk_frames=5, overlap_frames=0, **changes)


def upscale(job: Job, work: Any) -> bytes:
    upscale_file(job, scan(job.info), load_fast("dap"), work=work, weights="w", report=lambda *_: None)
    return job.output.read_bytes()


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_a_file_is_the_same_as_when_chunks_are_encoded_at_their_end(tmp_path: Path, name: str) -> None:
    def at_the_end(*arguments: Any, noise: Any, chunk_state: Any) -> Tensor:
        chunk_state.on_final = None
        return upscale_chunk(*arguments, noise=noise, chunk_state=chunk_state)

    handed: list[bool] = []

    def watched(*arguments: Any, noise: Any, chunk_state: Any) -> Tensor:
        handed.append(chunk_state.on_final is not None)
        return upscale_chunk(*arguments, noise=noise, chunk_state=chunk_state)

    job = a_job(tmp_path, name)
    assert upscale(job, watched) == upscale(job, at_the_end) and all(handed)


@pytest.mark.parametrize("handing", [True, False])
def test_chunks_that_fade_are_encoded_beside_the_work_too(tmp_path: Path, handing: bool) -> None:
    """Every chunk is of one brightness: what fades is told from what does not."""
    handed: list[bool] = []

    def work(frames: Tensor, target: tuple[int, int], *others: Any, noise: Any, chunk_state: Any) -> Tensor:
        made = torch.full((len(frames), *target, 3), 0.2 * (1 + len(handed)))
        handed.append(chunk_state.on_final is not None)
        for frame in made if handing else ():
            chunk_state.on_final(frame)
        return made[:0] if handing else made

    source = write(tmp_path / "in.mp4", colors(13, 24, 32))
    run(Job(probe(source), tmp_path / "out.mp4", (48, 64), None, chunk_frames=6, overlap_frames=2), work)
    assert len(handed) > 1 and all(handed)
    levels = [round(float(frame.mean()), 2) for frame in read_clip(tmp_path / "out.mp4").frames]
    assert len(levels) == 13 and levels == sorted(levels), levels
    assert len(set(levels)) == len(handed) + 2 * (len(handed) - 1), "two frames of every fade lie between its chunks"


def test_what_was_handed_on_before_memory_ran_out_is_made_anew(tmp_path: Path) -> None:
    """The second attempt returns all frames of the chunk, and they alone are encoded."""
    attempts: list[int] = []

    def work(frames: Tensor, *others: Any, noise: Any, chunk_state: Any) -> Tensor:
        attempts.append(len(frames))
        made = torch.full((len(frames), 48, 64, 3), 0.5)
        if len(attempts) > 1:
            return made
        for frame in made[:4]:
            chunk_state.on_final(torch.ones_like(frame))
        raise MemoryError

    job = replace(a_job(tmp_path, "out.mp4"), settings=replace(TINY, patches_at_once=2))
    run(job, OOMBackoff(work))
    result = read_clip(job.output).frames
    assert len(attempts) == 3 + 1, "the first of three chunks was begun anew"
    assert len(result) == 13 and (result - 0.5).abs().max() < 0.02


def test_work_that_fails_leaves_no_file_of_a_chunk(tmp_path: Path) -> None:
    def failing(frames: Tensor, *others: Any, noise: Any, chunk_state: Any) -> Tensor:
        chunk_state.on_final(torch.zeros(48, 64, 3))
        raise KeyboardInterrupt

    job = a_job(tmp_path, "out.mp4")
    with pytest.raises(KeyboardInterrupt):
        upscale(job, failing)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]
