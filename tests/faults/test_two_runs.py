"""Two runs for one output, at random moments and at once: the first is not disturbed, the second says why it ends."""

from __future__ import annotations

import itertools
import random
import signal
import sys
from pathlib import Path

import pytest
from command import finish, finished_chunks, small_clip, start, upscale, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP, which Windows lacks")
KINDS = {"plain": (), "fresh": ("--fresh",), "other settings": ("--crf", 30)}
PAIRS = [*itertools.product(KINDS, KINDS), *itertools.product(KINDS, KINDS)]
CHUNKS = 10


def test_eighteen_pairs_at_random_moments(tmp_path: Path) -> None:
    source, moments = small_clip(tmp_path / "in.mp4"), random.Random(2)
    whole = {name: tmp_path / f"{name}.mp4" for name in KINDS}
    for name, path in whole.items():
        assert upscale(source, path, *KINDS[name]) == (0, [])
    assert whole["plain"].read_bytes() != whole["other settings"].read_bytes()
    for number, (one, other) in enumerate(PAIRS):
        output, done = tmp_path / f"{number}.mp4", moments.randrange(1, CHUNKS - 1)
        first = start(source, output, *KINDS[one])
        wait_until(lambda output=output, done=done: len(finished_chunks(output)) >= done, first)
        first.send_signal(signal.SIGSTOP)
        try:
            code, said = upscale(source, output, *KINDS[other])
        finally:
            first.send_signal(signal.SIGCONT)
        assert code == 2 and len(said) == 1 and f"another run (process {first.pid})" in said[0], (one, other, said)
        assert finish(first) == (0, []), (one, other)
        assert output.read_bytes() == whole[one].read_bytes(), (one, other)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["plain", "fresh"])
def test_started_at_once_one_makes_the_file_and_the_other_says_so(tmp_path: Path, kind: str) -> None:
    source, output, whole = small_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4", tmp_path / "whole.mp4"
    assert upscale(source, whole) == (0, [])
    both = [start(source, output, *KINDS[kind]) for _ in range(2)]
    ended = sorted(map(finish, both))
    assert ended[0] == (0, []) and ended[1][0] == 2 and "another run" in ended[1][1][0]
    assert output.read_bytes() == whole.read_bytes()
