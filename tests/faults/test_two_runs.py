"""Two runs for one output, at random moments and at once: the first is not disturbed, the second says why it ends."""

from __future__ import annotations

import random
import signal
import sys
from pathlib import Path

import pytest
from command import finish, finished_chunks, small_clip, start, upscale, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP, which Windows lacks")
KINDS = {"plain": (), "fresh": ("--fresh",), "other settings": ("--crf", 30)}
CHUNKS = 10


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the input, and the result of every kind of run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    source = small_clip(folder / "in.mp4")
    for name, options in KINDS.items():
        assert upscale(source, folder / f"{name}.mp4", *options) == (0, [])
    assert (folder / "plain.mp4").read_bytes() != (folder / "other settings.mp4").read_bytes()
    return folder


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("one", KINDS)
def test_the_first_run_is_not_disturbed(tmp_path: Path, undisturbed: Path, one: str, other: str, seed: int) -> None:
    source, output = undisturbed / "in.mp4", tmp_path / "out.mp4"
    done = random.Random(f"{one} {other} {seed}").randrange(1, CHUNKS - 2)
    first = start(source, output, *KINDS[one])
    wait_until(lambda: len(finished_chunks(output)) >= done, first)
    first.send_signal(signal.SIGSTOP)
    try:
        code, said = upscale(source, output, *KINDS[other])
    finally:
        first.send_signal(signal.SIGCONT)
    assert code == 2 and len(said) == 1 and f"another run (process {first.pid})" in said[0], said
    assert finish(first) == (0, [])
    assert output.read_bytes() == (undisturbed / f"{one}.mp4").read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["plain", "fresh"])
def test_started_at_once_one_makes_the_file_and_the_other_says_so(tmp_path: Path, undisturbed: Path, kind: str) -> None:
    source, output, whole = undisturbed / "in.mp4", tmp_path / "out.mp4", undisturbed / f"{kind}.mp4"
    both = [start(source, output, *KINDS[kind]) for _ in range(2)]
    ended = sorted(map(finish, both))
    assert ended[0] == (0, []) and ended[1][0] == 2 and "another run" in ended[1][1][0]
    assert output.read_bytes() == whole.read_bytes()
