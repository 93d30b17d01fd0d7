"""One job in parts, side by side or one after the other: the file is that of a single run."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import colors, write
from command import CHUNK, finished_chunks, start, wait_until
from jobs import enlarge, run
from torch import Tensor

from patchvsr_core.__main__ import main
from patchvsr_core.errors import OutputError
from patchvsr_core.plan.chunks import plan_chunks
from patchvsr_core.run.job import Job
from patchvsr_core.run.parts import join_parts, open_part, upscale_part
from patchvsr_core.run.shares import Part, parse_part, plan_shares
from patchvsr_core.run.video_job import job_chunks
from patchvsr_core.settings import TINY
from patchvsr_core.video import probe
from patchvsr_core.video.journal import folder_of, read_unfinished
from patchvsr_core.video.reader import scan
from patchvsr_core.video.target_lock import lock_part, lock_target


def noisy(frames: Tensor, target: tuple[int, int], *others: Any, noise: Any, chunk_state: Any = None) -> Tensor:
    """Depends on the noise of the chunk, as a diffusion model does, so that overlaps show who faded what."""
    return enlarge(frames, target, noise=noise) * 0.5 + noise(torch.Size((1, 1, len(frames), 1, 1))).abs().mean() * 0.2


def counting(frames: Tensor, target: tuple[int, int], *others: Any, noise: Any, chunk_state: Any) -> Tensor:
    """Depends on how many chunks of the shot came before, as recurrent networks do."""
    before = (chunk_state.before or {}).get("count", torch.zeros(1))
    chunk_state.after = {"count": before + 1}
    return (enlarge(frames, target, noise=noise) * 0.5 + 0.05 * before).clamp(0, 1)


def a_job(folder: Path, **changes: Any) -> Job:
    source = folder / "in.mp4"
    if not source.exists():
        write(source, torch.cat([colors(23, 32, 48), 1 - colors(20, 32, 48), colors(11, 32, 48) ** 3]))
    chosen = {"chunk_frames": 8, "overlap_frames": 2, **changes}
    return Job(probe(source), folder / "out.mp4", (64, 96), TINY, **chosen)


def make(job: Job, part: Part, work: Any, *, whole_shots: bool = False) -> list[int]:
    """Run a part; the chunks that it worked on."""
    seen: list[int] = []
    timeline = scan(job.info)
    chunks = job_chunks(job, timeline)
    share = plan_shares(chunks, part.count, whole_shots=whole_shots)[part.number - 1]
    with lock_part(job.output, part.number):
        journal = open_part(job, timeline, "w", part, whole_shots=whole_shots)
        show = {"report": lambda *_: None, "on_chunk": lambda done, total: seen.append(done)}
        upscale_part(journal, job, timeline, share, None, work=work, **show)
    return [share[place] for place in seen[:-1]]


def join(job: Job, **settings: Any) -> bytes:
    record = read_unfinished(job.output)
    assert record is not None
    with lock_target(job.output):
        join_parts(job, scan(job.info), record, settings)
    return job.output.read_bytes()


def test_shares_cover_every_chunk_once_and_are_of_similar_length() -> None:
    chunks = plan_chunks(1000, (100, 130, 600), 20, 4)
    for count in (1, 2, 3, 7, 200):
        for whole_shots in (False, True):
            shares = plan_shares(chunks, count, whole_shots=whole_shots)
            assert len(shares) == count and [n for share in shares for n in share] == [*range(len(chunks))]
            if whole_shots:
                assert not any(chunks[share[0]].continues_shot for share in shares if share)
            elif count < 8:
                assert max(map(len, shares)) - min(map(len, shares)) <= 2


def test_parts_are_written_as_k_of_n() -> None:
    assert parse_part("2/3") == Part(2, 3)
    for text in ("0/3", "4/3", "2", "a/b", "1/0", "-1/2"):
        with pytest.raises(ValueError):
            parse_part(text)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
@pytest.mark.parametrize(("work", "whole_shots"), [(noisy, False), (counting, True)])
def test_parts_in_any_order_make_the_file_of_one_run(
    tmp_path: Path, order: Sequence[int], work: Any, whole_shots: bool
) -> None:
    job = a_job(tmp_path)
    run(job, work)
    whole = job.output.read_bytes()
    job.output.unlink()
    made = [number for k in order for number in make(job, Part(k, 3), work, whole_shots=whole_shots)]
    assert sorted(made) == [*range(len(job_chunks(job, scan(job.info))))], "every chunk is made once"
    assert make(job, Part(2, 3), work, whole_shots=whole_shots) == [], "a part that runs twice has nothing to do"
    assert join(job) == whole
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_damaged_chunk_is_made_again_by_its_part_and_no_other(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    run(job, noisy)
    whole = job.output.read_bytes()
    for k in (1, 2, 3):
        make(job, Part(k, 3), noisy)
    chunks = job_chunks(job, scan(job.info))
    second = plan_shares(chunks, 3, whole_shots=False)[1]
    assert chunks[second[0]].lead, "the part begins within a shot"
    (folder_of(job.output) / f"{second[0]:06d}.mp4").write_bytes(b"damaged")
    with pytest.raises(OutputError, match=r"Part 2/3 of out\.mp4 is not finished; run it with --part"):
        join(job)
    assert make(job, Part(1, 3), noisy) == []
    assert make(job, Part(2, 3), noisy) == [second[0]]
    assert join(job) == whole


def test_what_a_part_left_for_the_next_is_made_again_where_it_was_deleted(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    run(job, noisy)
    whole = job.output.read_bytes()
    make(job, Part(3, 3), noisy)
    make(job, Part(2, 3), noisy)
    make(job, Part(1, 3), noisy)
    first = plan_shares(job_chunks(job, scan(job.info)), 3, whole_shots=False)[0]
    (folder_of(job.output) / f"{first[-1]:06d}.tail").unlink()
    with pytest.raises(OutputError, match=r"Part 1/3 of out\.mp4 is not finished"):
        join(job)
    assert make(job, Part(1, 3), noisy)[-1] == first[-1]
    assert join(job) == whole


def test_a_whole_run_finishes_what_parts_began(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    run(job, noisy)
    whole = job.output.read_bytes()
    make(job, Part(3, 3), noisy)
    second = set(plan_shares(job_chunks(job, scan(job.info)), 3, whole_shots=False)[2])
    assert not second & {*run(job, noisy)}
    assert job.output.read_bytes() == whole


def test_joining_names_the_parts_that_lack_and_what_differs(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    make(job, Part(2, 4), enlarge)
    with pytest.raises(
        OutputError, match=r"^Parts 1/4, 3/4 and 4/4 of out\.mp4 are not finished; run them with --part"
    ):
        join(job)
    with pytest.raises(OutputError, match="but the settings changed since"):
        join(job, seed=job.settings.seed + 1)
    with pytest.raises(OutputError, match="the size of the result changed"):
        join(replace(job, target=(48, 72)))
    with pytest.raises(OutputError, match="the encoder's quality or format changed"):
        join(replace(job, encoding=replace(job.encoding, crf=30)))


def test_parts_of_other_settings_or_of_another_number_are_refused(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    make(job, Part(1, 2), enlarge)
    other = replace(job, settings=replace(TINY, seed=5))
    with pytest.raises(OutputError, match="but the settings changed since"):
        make(other, Part(2, 2), enlarge)
    with pytest.raises(OutputError, match=r"is divided into 2 parts, and this is one of 3; run all parts"):
        make(job, Part(2, 3), enlarge)
    assert make(job, Part(1, 2), enlarge) == []


def test_fresh_discards_a_part_and_what_other_settings_left(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    first, second = (make(job, Part(k, 2), enlarge) for k in (1, 2))
    fresh = replace(job, fresh=True)
    assert make(fresh, Part(1, 2), enlarge) == first and make(job, Part(2, 2), enlarge) == []
    other = replace(fresh, settings=replace(TINY, seed=5))
    assert make(other, Part(2, 2), enlarge) == second
    with pytest.raises(OutputError, match=r"Part 1/2 of out\.mp4 is not finished"):
        join(other)


def test_parts_run_side_by_side_but_not_twice_nor_beside_a_whole_run(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with lock_part(output, 1):
        with lock_part(output, 2):
            pass
        with (
            pytest.raises(OutputError, match=r"^Part 1 of .*out\.mp4 is being made by another run"),
            lock_part(output, 1),
        ):
            pass
        with pytest.raises(OutputError, match="is being written by another run"), lock_target(output):
            pass
        with lock_part(output, 2):
            pass
    with lock_target(output):
        with pytest.raises(OutputError, match="is being written or joined by another run"), lock_part(output, 1):
            pass
        with pytest.raises(OutputError, match="is being written by another run"), lock_target(output):
            pass
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGKILL")
def test_on_the_command_line_a_part_may_die_and_the_file_is_that_of_one_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in.mp4", torch.cat([colors(24, 32, 48), 1 - colors(24, 32, 48)]))
    output, whole = tmp_path / "out.mp4", tmp_path / "whole.mp4"

    def upscale(name: Path, *more: str) -> tuple[int, str]:
        code = main(["upscale", str(source), str(name), "--fast", "dap", "--chunk-frames", str(CHUNK), *more])
        return code, (capsys.readouterr().err.splitlines() or [""])[-1]

    assert upscale(whole)[0] == 0
    assert f"patchvsr: There are no parts of {output} to join" in upscale(output, "--join")[1]
    dying = start(source, output, "--part", "2/2")
    wait_until(partial(finished_chunks, output), dying)
    dying.send_signal(signal.SIGKILL)
    dying.communicate()
    assert upscale(output, "--part", "1/2")[0] == 0
    assert upscale(output, "--join") == (
        2,
        "patchvsr: Part 2/2 of out.mp4 is not finished; run it with --part, and then --join again.",
    )
    assert upscale(output, "--part", "2/2")[0] == upscale(output, "--join")[0] == 0
    assert output.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
