"""One run for one output: a second one is refused in one sentence, and does no harm to the first."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from command import finish, finished_chunks, small_clip, start, upscale, wait_until

from patchvsr_core.errors import OutputError
from patchvsr_core.video import target_lock
from patchvsr_core.video.target_lock import lock_file_of, lock_target


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP, which Windows lacks")
def test_a_second_run_for_an_output_is_refused_and_the_first_is_not_disturbed(tmp_path: Path) -> None:
    source, output, whole = small_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4", tmp_path / "whole.mp4"
    assert upscale(source, whole) == (0, [])
    first = start(source, output)
    wait_until(lambda: finished_chunks(output), first)
    first.send_signal(signal.SIGSTOP)
    try:
        code, said = upscale(source, output, "--fresh", "--crf", 30)
    finally:
        first.send_signal(signal.SIGCONT)
    assert code == 2 and said == [
        f"patchvsr: {output} is being written by another run (process {first.pid}); wait for it or choose another name."
    ]
    assert finish(first) == (0, [])
    assert output.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [], "no lock file is left"


def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    source, output = small_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    first = start(source, output)
    wait_until(lambda: finished_chunks(output), first)
    first.kill()
    first.wait()
    assert lock_file_of(output).exists()
    assert upscale(source, output) == (0, [])
    assert not lock_file_of(output).exists()


def test_names_of_one_target_share_a_lock(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "out.mp4")
    for one, other in ((folder, folder / "frame_%05d.png"), (tmp_path / "out.mp4", tmp_path / "link.mp4")):
        with (
            lock_target(one),
            pytest.raises(OutputError, match=rf"another run \(process {os.getpid()}\)"),
            lock_target(other),
        ):
            pass
    with lock_target(tmp_path / "a.mp4"), lock_target(tmp_path / "b.mp4"):
        pass
    assert not list(tmp_path.rglob(".*"))


def test_where_there_are_no_locks_a_warning_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(target_lock, "_lock", unsupported)
    with caplog.at_level(logging.WARNING), lock_target(tmp_path / "out.mp4"):
        pass
    assert f"{tmp_path} has no file locks" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_file_removed_by_the_run_before_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, the run before may end and remove the file; another run would lock a new one."""
    output, seen = tmp_path / "out.mp4", []
    real = target_lock._lock

    def slow(descriptor: int, *how: Any) -> None:
        if not seen:
            lock_file_of(output).unlink()
        seen.append(descriptor)
        real(descriptor, *how)

    monkeypatch.setattr(target_lock, "_lock", slow)
    with lock_target(output):
        assert lock_file_of(output).exists() and len(seen) == 2
        monkeypatch.setattr(target_lock, "_lock", real)
        with pytest.raises(OutputError), lock_target(output):
            pass
