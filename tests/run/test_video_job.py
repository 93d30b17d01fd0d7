"""Files of any length, chunk by chunk."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import colors, write
from jobs import enlarge, run
from small_disk import small_disk
from torch import Tensor

from patchvsr_core.errors import MediaError, OutputError
from patchvsr_core.finish.strength_map import StrengthMap
from patchvsr_core.hosts.diffusers.models import load_models
from patchvsr_core.hosts.diffusers.pipeline import upscale
from patchvsr_core.plan.chunks import ChunkState, plan_chunks
from patchvsr_core.resample import resize
from patchvsr_core.run.chunk_work import chunk_noise
from patchvsr_core.run.job import Job
from patchvsr_core.run.video_job import upscale_file
from patchvsr_core.settings import TINY
from patchvsr_core.vae.encode import seeded_noise
from patchvsr_core.video import probe, read_clip
from patchvsr_core.video.chunk_files import Encoding
from patchvsr_core.video.disk_space import check_space, disk_bytes
from patchvsr_core.video.journal import folder_of as journal_folder
from patchvsr_core.video.journal import read_unfinished
from patchvsr_core.video.reader import scan

FRAMES = 23
ALL = [0, 1, 2, 3]


def stopping_in(chunk: int) -> Any:
    """As ``enlarge``, until the user stops it in that chunk."""
    numbers = iter(range(10))

    def work(*arguments: Any, noise: Any, chunk_state: Any = None) -> Tensor:
        if next(numbers) == chunk:
            raise KeyboardInterrupt
        return enlarge(*arguments, noise=noise)

    return work


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write(tmp_path / "in.mp4", colors(FRAMES, 32, 48))


def a_job(clip: Path, **changes: Any) -> Job:
    return Job(probe(clip), clip.with_name("out.mp4"), (64, 96), TINY, chunk_frames=8, overlap_frames=2, **changes)


def test_every_frame_is_there_in_its_place(clip: Path) -> None:
    assert run(a_job(clip)) == [0, 1, 2, 3]
    source, made = read_clip(clip), read_clip(clip.with_name("out.mp4"))
    assert made.timestamps == source.timestamps and made.time_base == source.time_base
    assert (made.frames - resize(source.frames, (64, 96)).clamp(0, 1)).abs().mean() < 0.02
    assert [path.name for path in clip.parent.iterdir() if path.name.startswith(".")] == []


def test_overlaps_are_blends_of_both_chunks(clip: Path) -> None:
    """Every chunk has a brightness of its own; one frame in the middle of an overlap lies between the two."""
    numbers = iter(range(10))

    def flat(frames: Tensor, target: tuple[int, int], *others: Any, noise: Any, chunk_state: Any = None) -> Tensor:
        return torch.full((len(frames), *target, 3), 0.2 * (1 + next(numbers)))

    run(a_job(clip), flat)
    chunks = plan_chunks(FRAMES, (), 8, 2)
    means = read_clip(clip.with_name("out.mp4")).frames.mean((1, 2, 3))
    for number, chunk in enumerate(chunks):
        expected = torch.full((chunk.length,), 0.2 * (1 + number))
        for step in range(chunk.lead):
            expected[step] -= 0.2 * (1 - (step + 1) / (chunk.lead + 1))
        following = chunks[number + 1].lead if number + 1 < len(chunks) else 0
        own = slice(chunk.first, chunk.end - following)
        torch.testing.assert_close(means[own], expected[: chunk.length - following], atol=0.01, rtol=0)


def test_a_strength_map_holds_every_chunk_and_belongs_to_the_run(clip: Path) -> None:
    def black(frames: Tensor, target: tuple[int, int], *others: Any, noise: Any, chunk_state: Any = None) -> Tensor:
        return torch.zeros(len(frames), *target, 3)

    left = torch.ones(1, 64, 96)
    left[..., :48] = 0
    lossless = {"encoding": Encoding(codec="ffv1"), "strength": StrengthMap(map=left)}
    job = replace(a_job(clip, **lossless), output=clip.with_name("out.mkv"))
    run(job, black)
    base = resize(read_clip(clip).frames, (64, 96)).clamp(0, 1)
    made = read_clip(job.output).frames
    assert (made - base)[:, :, :48].abs().max() <= 1.01 / 255 and made[:, :, 48:].max() == 0
    with pytest.raises(KeyboardInterrupt):
        run(job, stopping_in(2))
    other = replace(job, strength=StrengthMap(map=1 - left))
    assert run(job) == [2, 3] and run(other) == ALL


@pytest.mark.parametrize("broken", [0, 1, 3])
def test_a_stopped_run_goes_on_and_gives_the_same_file(clip: Path, broken: int) -> None:
    run(a_job(clip))
    whole = clip.with_name("out.mp4").read_bytes()
    clip.with_name("out.mp4").unlink()
    with pytest.raises(KeyboardInterrupt):
        run(a_job(clip), stopping_in(broken))
    assert not clip.with_name("out.mp4").exists()
    assert run(a_job(clip)) == list(range(broken, 4))
    assert clip.with_name("out.mp4").read_bytes() == whole


def test_another_job_is_refused_unless_fresh(clip: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(a_job(clip), stopping_in(1))
    for changed, words in (
        ({"encoding": Encoding(crf=20)}, "the encoder's quality"),
        ({"target": (32, 48)}, "the size"),
        ({"settings": replace(TINY, steps=2)}, "the settings"),
        ({"settings": replace(TINY, detail=0.0)}, "the settings"),  # the default of before
    ):
        with pytest.raises(OutputError, match=words):
            run(replace(a_job(clip), **changed))
    with pytest.raises(OutputError, match="the model or its weights changed since; start again \\(--fresh\\)"):
        run(a_job(clip), weights="other")
    assert run(replace(a_job(clip), encoding=Encoding(crf=20), fresh=True)) == [0, 1, 2, 3]


def test_noise_goes_on_from_chunk_to_chunk() -> None:
    chunks = plan_chunks(20, (), 8, 2)
    noises = [
        chunk_noise(chunks, number, 7, torch.Size((1, 4, chunk.length, 8, 8))) for number, chunk in enumerate(chunks)
    ]
    for before, after in itertools.pairwise(noises):
        assert torch.equal(before[:, :, -2:], after[:, :, :2])
        assert not torch.equal(before[:, :, :2], after[:, :, :2])
    assert torch.equal(noises[0], seeded_noise(noises[0].shape, 7)), "a clip of one chunk has the noise of its seed"
    assert chunk_noise(chunks, 1, 7, torch.Size((1, 4, 2, 8, 8))).shape == (1, 4, 2, 8, 8)


def test_memory_that_is_less_now_does_not_stop_a_run(clip: Path) -> None:
    assert read_unfinished(clip.with_name("out.mp4")) is None
    with pytest.raises(KeyboardInterrupt):
        run(a_job(clip), stopping_in(1))
    left = read_unfinished(clip.with_name("out.mp4"))
    assert left is not None and left["chunks"][:2] == [8, 2]


def test_a_disk_that_is_too_small_is_told_first(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, info = clip.with_name("out.mp4"), probe(clip)
    needed = disk_bytes(output, 1000, (2160, 3840), info, Encoding())
    assert needed > disk_bytes(output, 1000, (2160, 3840), info, Encoding(crf=28)) > 1e8
    check_space(output, 1000)
    free = shutil.disk_usage(clip.parent)._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(OutputError, match=r"about [\d.]+ GiB of disk space, but 0\.0 GiB are free"):
        check_space(output, needed)


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount to make a small disk")
def test_a_full_disk_loses_nothing(clip: Path) -> None:
    disk = clip.parent / "disk"
    disk.mkdir()

    def noisy(frames: Tensor, target: tuple[int, int], *others: Any, noise: Any, chunk_state: Any = None) -> Tensor:
        grain = torch.rand(len(frames), *target, 3, generator=torch.Generator().manual_seed(int(frames.sum())))
        return (enlarge(frames, target, noise=noise) + grain) / 2

    job = replace(a_job(clip), output=disk / "out.mp4", target=(256, 384))
    run(replace(job, output=clip.with_name("whole.mp4")), noisy)
    tail = 2 * 256 * 384 * 3 * 4
    with small_disk(disk, clip.with_name("whole.mp4").stat().st_size * 5 // 4 + tail) as enlarge_disk:
        with pytest.raises(OutputError, match="free some space"):
            run(job, noisy)
        pieces = list(journal_folder(job.output).glob("0*.mp4"))
        assert pieces and not job.output.exists() and not list(disk.glob(".*.part*"))
        enlarge_disk()
        assert len(run(job, noisy)) == 4 - len(pieces)
        assert job.output.read_bytes() == clip.with_name("whole.mp4").read_bytes()


def test_an_input_that_is_cut_off_leaves_nothing(clip: Path) -> None:
    whole = write(clip.with_name("long.mkv"), torch.rand(40, 32, 48, 3))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    before = sorted(clip.parent.iterdir())
    with pytest.raises(MediaError, match="truncated or damaged"):
        run(a_job(whole))
    assert sorted(clip.parent.iterdir()) == before


@pytest.fixture
def stopped(clip: Path) -> Path:
    """The journal of a run that was stopped in its third chunk."""
    run(a_job(clip))
    clip.with_name("out.mp4").rename(clip.with_name("whole.mp4"))
    with pytest.raises(KeyboardInterrupt):
        run(a_job(clip), stopping_in(2))
    return journal_folder(clip.with_name("out.mp4"))


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("000001.mp4", [0, 1, 2, 3]),
        ("000000.mp4", [0, 2, 3]),
        ("000001.tail", [0, 1, 2, 3]),
        ("job.json", [0, 1, 2, 3]),
    ],
)
@pytest.mark.parametrize("left", [None, 0, 100])
def test_what_a_power_cut_damaged_is_made_again(
    clip: Path, stopped: Path, name: str, again: list[int], left: int | None
) -> None:
    damaged = stopped / name
    damaged.unlink() if left is None else damaged.write_bytes(damaged.read_bytes()[:left])
    assert run(a_job(clip)) == again
    assert clip.with_name("out.mp4").read_bytes() == clip.with_name("whole.mp4").read_bytes()


def test_pieces_without_a_record_are_nobodys(clip: Path, stopped: Path) -> None:
    (stopped / "job.json").unlink()
    other = write(clip.with_name("other.mp4"), torch.zeros(FRAMES, 32, 48, 3))
    run(replace(a_job(other), output=clip.with_name("out.mp4")))
    assert read_clip(clip.with_name("out.mp4")).frames.max() < 0.05


def test_a_shot_of_a_thousand_chunks() -> None:
    chunks = plan_chunks(60000, (), 50, 2)
    assert len(chunks) > 1200
    assert chunk_noise(chunks, 1200, 0, torch.Size((1, 1, chunks[1200].length, 1, 1))).shape[2] == chunks[1200].length


def test_propagation_goes_on_from_chunk_to_chunk_of_a_shot(clip: Path) -> None:
    """Also after a stop: what was carried is kept beside the last frames."""
    seen: dict[int, ChunkState] = {}
    number = iter(range(100))

    def carrying(stop_in: int | None) -> Any:
        def work(frames: Tensor, *others: Any, noise: Any, chunk_state: ChunkState) -> Tensor:
            chunk = next(number)
            if chunk == stop_in:
                raise KeyboardInterrupt
            seen[chunk] = chunk_state
            chunk_state.after = {"source": frames[0], "step 0": torch.full((1, 2, 3, 4), float(chunk))}
            return enlarge(frames, *others, noise=noise)

        return work

    settings = replace(TINY, propagation=0.5)
    with pytest.raises(KeyboardInterrupt):
        run(replace(a_job(clip), settings=settings), carrying(2))
    number = iter(range(2, 100))
    run(replace(a_job(clip), settings=settings), carrying(None))
    assert seen[0].before is None
    assert [seen[chunk].until for chunk in ALL] == [5, 5, 5, None]
    for chunk in ALL[1:]:
        before, left = seen[chunk].before, seen[chunk - 1].after
        assert before is not None and left is not None
        assert before.keys() == left.keys() and torch.equal(before["source"], left["source"])
        assert float(before["step 0"].mean()) == chunk - 1


def test_a_stopped_run_with_propagation_gives_the_same_file(clip: Path) -> None:
    models = load_models("tiny")
    settings = replace(models.defaults, base_layer="bicubic", patch_px=64, propagation=0.25)
    job = replace(a_job(clip), settings=settings, target=(48, 72), chunk_frames=9)
    finish = partial(upscale_file, job, scan(clip), models, weights="w", report=lambda *_: None)
    finish(work=upscale)
    whole = job.output.read_bytes()
    job.output.unlink()

    def stop(number: int, total: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finish(work=upscale, on_chunk=stop)
    finish(work=upscale)
    assert job.output.read_bytes() == whole

    def forgetful(*arguments: Any, chunk_state: ChunkState, noise: Any) -> Tensor:
        return upscale(*arguments, noise=noise)

    finish(work=forgetful)
    assert job.output.read_bytes() != whole, "what is carried matters"
