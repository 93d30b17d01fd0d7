"""A hundred damaged chunks of unfinished runs: every one is found and made again, and the result is the same."""

from __future__ import annotations

import logging
import random
import shutil
from pathlib import Path

import pytest
import torch
from clips import colors, write
from damage import DAMAGES, damage_chunk
from jobs import enlarge, run

from patchvsr_core.run.job import Job
from patchvsr_core.settings import TINY
from patchvsr_core.video import probe
from patchvsr_core.video.journal import folder_of

OUTPUTS = {"mp4": "out.mp4", "mkv": "out.mkv", "png": "%04d.png", "exr": "%04d.exr"}
EACH = 25


def contents(output: Path) -> list[bytes]:
    files = [output] if output.is_file() else sorted(output.parent.glob(f"0*{output.suffix}"))
    return [file.read_bytes() for file in files]


@pytest.mark.parametrize("kind", OUTPUTS)
def test_every_damaged_chunk_is_found_and_made_again(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng, names = random.Random(f"{kind}"), [*DAMAGES]
    noise = torch.rand(23, 32, 48, 3, generator=torch.Generator().manual_seed(3))
    clip = colors(23, 32, 48) + 0.1 * noise  # no two chunks are the same
    source = write(tmp_path / "in.mp4", clip)
    folder = tmp_path / "result"
    folder.mkdir()
    job = Job(probe(source), folder / OUTPUTS[kind], (64, 96), TINY, chunk_frames=8, overlap_frames=2)
    run(job)
    whole = contents(job.output)
    for file in folder.iterdir():
        file.unlink()
    journal, kept, numbers = folder_of(job.output), tmp_path / "kept", iter(range(10))

    def stopping(*arguments: object, **named: object) -> object:
        if next(numbers) == 3:
            raise KeyboardInterrupt
        return enlarge(*arguments, **named)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        run(job, stopping)
    shutil.copytree(journal, kept)
    suffix, found = ".images" if kind in ("png", "exr") else f".{kind}", 0
    for number in range(EACH):
        shutil.rmtree(journal, ignore_errors=True)
        shutil.copytree(kept, journal)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            damaged = damage_chunk(journal, suffix, names[number % len(names)], rng)
            again = run(job)
        assert damaged in again, (number, names[number % len(names)])
        assert f"Chunk {damaged + 1} of {job.output.name} is damaged" in caplog.text
        assert contents(job.output) == whole, (number, names[number % len(names)])
        found += 1
    assert found == EACH
