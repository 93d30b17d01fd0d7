"""Places and names that are hard on a run: long names, full temporary folders, other alphabets, impatient users."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
from command import CHUNK, finish, finished_chunks, small_clip, start, upscale, wait_until

from patchvsr_core.__main__ import main
from patchvsr_core.video.hidden_names import hidden_beside, name_limit, partial_of

FRAMES = 7


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return small_clip(tmp_path / "in.mp4", FRAMES)


@pytest.mark.parametrize("letter", ["a", "é", "字"])
@pytest.mark.parametrize("length", [249, 252, 255, 256, 264, 300])
def test_a_long_name_works_or_is_one_sentence(
    source: Path, capsys: pytest.CaptureFixture[str], length: int, letter: str
) -> None:
    size = len(letter.encode())
    stem = letter * ((length - 4) // size)
    name = stem + "b" * (length - 4 - len(stem.encode())) + ".mp4"
    assert len(name.encode()) == length
    code = main(["upscale", str(source), str(source.with_name(name)), "--fast", "dap", "--chunk-frames", f"{CHUNK}"])
    if length <= name_limit(source.parent):
        assert code == 0
        assert sorted(path.name for path in source.parent.iterdir()) == sorted([name, "in.mp4"])
        return
    said = capsys.readouterr().err.strip()
    assert code == 2 and said.startswith("patchvsr: The name ") and said.endswith("choose a shorter one.")
    assert "\n" not in said and f"has {length} bytes" in said
    assert [path.name for path in source.parent.iterdir()] == ["in.mp4"]


def test_a_hidden_name_is_readable_where_it_fits_and_never_too_long(tmp_path: Path) -> None:
    assert hidden_beside(tmp_path / "out.mp4", "out.mp4", ".patchvsr").name == ".out.mp4.patchvsr", "as ever"
    assert partial_of(tmp_path / "out.mp4").name == ".out.part.mp4"
    names = {partial_of(tmp_path / f"{'x' * 250}{last}.mp4").name for last in "ab"}
    assert len(names) == 2 and all(len(name) < 40 and name.endswith(".part.mp4") for name in names)


def test_nothing_but_the_folder_of_the_output_is_needed(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A temporary folder that takes nothing: a file is in its place."""
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(source))
    folder = source.parent / "disk"
    folder.mkdir()
    code = main(["upscale", str(source), str(folder / "out.mp4"), "--fast", "dap"])
    assert code == 0, capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["out.mp4"]
    assert main(["plan", str(source), "--fast", "dap"]) == 0
    assert "writing    not measured" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file names everywhere")
def test_a_console_of_another_alphabet_ends_no_run(source: Path) -> None:
    output = source.with_name("видео 字.mp4")
    environment = {"PYTHONIOENCODING": "cp1252"}
    process = start(source, output, environment=environment)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "\\u0432\\u0438" in out and output.is_file()
    code, said = upscale(source, source.with_name("нет") / "out.mp4", environment=environment)
    assert code == 2 and len(said) == 1 and "does not exist; create it first." in said[0]


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals that Windows lacks")
def test_three_times_ctrl_c_is_one_sentence(tmp_path: Path) -> None:
    source, output = small_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    process = start(source, output)
    wait_until(lambda: finished_chunks(output), process)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
    code, said = finish(process)
    assert code == 130
    assert [line for line in said if "patchvsr:" in line] == said[-1:] and "resumes" in said[-1], said
    assert finished_chunks(output) and not list(tmp_path.glob(".*.lock"))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's list of loaded libraries")
def test_ctrl_c_while_torch_is_loaded_is_one_sentence(tmp_path: Path) -> None:
    process = start(tmp_path / "in.mp4", tmp_path / "out.mp4")
    loaded = Path(f"/proc/{process.pid}/maps")
    wait_until(lambda: "torch" in loaded.read_text(), process)
    process.send_signal(signal.SIGINT)
    code, said = finish(process)
    assert code == 130 and len(said) == 1 and "patchvsr: stopped" in said[0], said
