"""What an unfinished run left is trusted only as far as its seals go; what happens to files ends in one sentence."""

from __future__ import annotations

import json
import logging
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import colors, write
from damage import DAMAGES, damage_chunk
from jobs import enlarge, run

from patchvsr_core.errors import OutputError
from patchvsr_core.finish.strength_map import StrengthMap
from patchvsr_core.run.job import Job, identity
from patchvsr_core.settings import TINY
from patchvsr_core.video import probe
from patchvsr_core.video.journal import NAMES, folder_of, read_unfinished, unfinished_chunks


def stopping_in(chunk: int, harm: Any = None) -> Any:
    numbers = iter(range(10))

    def work(*arguments: Any, **named: Any) -> Any:
        if next(numbers) == chunk:
            if harm is None:
                raise KeyboardInterrupt
            harm()
        return enlarge(*arguments, **named)

    return work


def a_job(folder: Path, name: str = "out.mp4") -> Job:
    noise = torch.rand(14, 32, 48, 3, generator=torch.Generator().manual_seed(3))
    source = write(folder / "in.mp4", colors(14, 32, 48) + 0.1 * noise)
    (folder / "result").mkdir()
    return Job(probe(source), folder / "result" / name, (64, 96), TINY, chunk_frames=5, overlap_frames=0)


def contents(job: Job) -> list[bytes]:
    return [file.read_bytes() for file in sorted(job.output.parent.iterdir()) if not file.name.startswith(".")]


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize(("name", "suffix"), [("out.mkv", ".mkv"), ("%04d.png", ".images")])
def test_a_damaged_chunk_is_made_again_and_the_result_is_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, name: str, suffix: str
) -> None:
    job = a_job(tmp_path, name)
    run(job)
    whole = contents(job)
    with pytest.raises(KeyboardInterrupt):
        run(job, stopping_in(2))
    with caplog.at_level(logging.WARNING):
        number = damage_chunk(folder_of(job.output), suffix, kind, random.Random(5))
        assert number in run(job)
    assert f"Chunk {number + 1} of {name} is damaged or incomplete; it is made again." in caplog.text
    assert contents(job) == whole


def test_damage_to_what_the_next_chunk_continues_from_is_found(tmp_path: Path) -> None:
    job = replace(a_job(tmp_path), overlap_frames=1)
    run(job)
    whole = contents(job)
    with pytest.raises(KeyboardInterrupt):
        run(job, stopping_in(2))
    (tail,) = folder_of(job.output).glob("*.tail")
    data = bytearray(tail.read_bytes())
    data[-100:-50] = bytes(50)  # still a readable file of the right shape
    tail.write_bytes(data)
    assert run(job)[0] == 0, "the shot is made again from its start"
    assert contents(job) == whole


def test_a_first_chunk_that_is_damaged_takes_no_other_with_it(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(job, stopping_in(2))
    (folder_of(job.output) / "000000.mp4").write_bytes(b"")
    with pytest.raises(KeyboardInterrupt):
        run(job, stopping_in(0))
    assert run(job) == [0, 2]


def test_all_that_the_result_depends_on_has_a_name_for_the_message(tmp_path: Path) -> None:
    assert identity(a_job(tmp_path), (), "w").keys() == NAMES.keys()


def test_another_strength_map_is_refused_as_other_settings_are(tmp_path: Path) -> None:
    half = StrengthMap(map=torch.full((1, 4, 4), 0.5))
    for before, after in ((StrengthMap(), half), (half, StrengthMap()), (half, StrengthMap(map=half.map / 2))):
        folder = tmp_path / f"{before.digest[:4]}{after.digest[:4]}"
        folder.mkdir()
        job = replace(a_job(folder), strength=before)
        with pytest.raises(KeyboardInterrupt):
            run(job, stopping_in(1))
        with pytest.raises(OutputError, match="but the strength map changed since; start again"):
            run(replace(job, strength=after))
        assert run(job) == [1, 2]


@pytest.mark.parametrize("lacking", NAMES)
def test_a_record_of_another_version_is_begun_anew_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lacking: str
) -> None:
    job = a_job(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(job, stopping_in(1))
    record = folder_of(job.output) / "job.json"
    record.write_text(
        json.dumps({name: value for name, value in json.loads(record.read_text()).items() if name != lacking})
    )
    assert unfinished_chunks(job.output) is None
    assert run(job) == [0, 1, 2]
    assert "What an unfinished run left for out.mp4 is damaged or of another version; it is made anew." in caplog.text


def test_chunks_of_a_version_without_seals_are_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    job = a_job(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(job, stopping_in(2))
    for seal in folder_of(job.output).glob("*.seal"):
        seal.unlink()
    assert run(job) == [0, 1, 2]
    assert "Chunk 1 of out.mp4 is damaged or incomplete" in caplog.text


HOSTILE = {
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "not UTF-8": b"\xff\xfe{}",
    "another type": b"[1, 2]",
    "settings": b'{"settings": 5, "chunks": [8, 2, [0]]}',
    "settings list": b'{"settings": ["a"], "chunks": [8, 2, [0]]}',
    "chunks": b'{"settings": {}, "chunks": null}',
    "letters": b'{"settings": {}, "chunks": ["a", "b", []]}',
    "huge": b'{"settings": {}, "chunks": [1' + b"0" * 400 + b", 2, [0]]}",
    "overlap": b'{"settings": {}, "chunks": [3, 3, [0]]}',
    "infinite": b'{"settings": {}, "chunks": [Infinity, NaN, [0]]}',
    "too long": b" " * 2**24 + b"{}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_record_that_makes_no_sense_breaks_no_run(tmp_path: Path, name: str) -> None:
    job = a_job(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(job, stopping_in(1))
    record = folder_of(job.output) / "job.json"
    text = HOSTILE[name]
    if text.startswith(b'{"s'):
        others = {
            key: value for key, value in json.loads(record.read_bytes()).items() if key not in ("settings", "chunks")
        }
        text = json.dumps(others).encode()[:-1] + b", " + text[1:]
    record.write_bytes(text)
    assert read_unfinished(job.output) is None and unfinished_chunks(job.output) is None
    assert run(job) == [0, 1, 2]


@pytest.mark.parametrize("name", ["deep", "not UTF-8", "another type", "huge", "too long"])
def test_a_seal_that_makes_no_sense_is_none(tmp_path: Path, name: str) -> None:
    job = a_job(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(job, stopping_in(2))
    (folder_of(job.output) / "000001.seal").write_bytes(HOSTILE[name])
    assert 1 in run(job)


def test_a_chunk_deleted_during_the_run_is_one_sentence_and_only_it_is_made_again(tmp_path: Path) -> None:
    for name, suffix in (("out.mp4", ".mp4"), ("%04d.png", ".images")):
        folder = tmp_path / suffix
        folder.mkdir()
        job = a_job(folder, name)
        first = folder_of(job.output) / f"000000{suffix}"
        harm = (lambda first=first: shutil.rmtree(first)) if suffix == ".images" else first.unlink
        with pytest.raises(OutputError, match=r"Chunk 1 of .* was deleted or changed during the run; start the same"):
            run(job, stopping_in(2, harm))
        assert 2 not in run(job)


def test_a_tail_or_the_whole_folder_deleted_during_the_run_is_one_sentence(tmp_path: Path) -> None:
    job = replace(a_job(tmp_path), overlap_frames=1)
    folder = folder_of(job.output)
    with pytest.raises(OutputError):
        run(job, stopping_in(1, lambda: shutil.rmtree(folder)))
    with pytest.raises(OutputError, match="deleted or changed during the run"):
        run(job, stopping_in(1, (folder / "000000.tail").unlink))


def test_an_output_that_becomes_a_folder_during_the_run_is_one_sentence_and_nothing_is_lost(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    with pytest.raises(OutputError, match="became a folder during the run; remove it"):
        run(job, stopping_in(1, job.output.mkdir))
    job.output.rmdir()
    assert run(job) == [] and job.output.is_file()


def test_a_run_that_cannot_come_again_leaves_nothing(tmp_path: Path) -> None:
    job = replace(a_job(tmp_path), is_resumable=False)
    with pytest.raises(KeyboardInterrupt):
        run(job, stopping_in(2))
    assert not list(job.output.parent.iterdir())
