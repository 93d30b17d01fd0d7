"""Checkpoints of PyTorch are read without running anything in them."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from patchvsr_core.errors import ModelError
from patchvsr_core.files import read_checkpoint, read_pickle

ROOT = Path(__file__).parents[2]
FORMATS: list[dict[str, Any]] = [
    {},
    {"_use_new_zipfile_serialization": False},
    {"pickle_protocol": 4},
    {"pickle_protocol": 5},
]


class Bomb:
    """A file that holds it writes another one when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def a_state() -> dict[str, Any]:
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    grid = torch.arange(12.0).view(3, 4)
    return {
        "half": torch.ones(2, 3, dtype=torch.bfloat16),
        "views": {"transposed": grid.t(), "row": grid[1]},
        "none": torch.empty(0, 3),
        "number": torch.tensor(True),
        "model": layer.state_dict(),
        "parameter": layer.weight,
        "optimizer": optimizer.state_dict(),
        "rest": (1, 2**40, [2.5, {}], (), None, torch.Size([4]), torch.float16),
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and one.stride() == other.stride() and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("options", FORMATS)
def test_all_formats_of_torch_save_are_read_exactly(tmp_path: Path, options: dict[str, Any]) -> None:
    state = a_state()
    torch.save(state, tmp_path / "state.pt", **options)
    assert same(state, read_pickle(tmp_path / "state.pt"))


@pytest.mark.parametrize("options", FORMATS)
def test_a_pickle_bomb_does_not_go_off(tmp_path: Path, options: dict[str, Any]) -> None:
    torch.save({"a": torch.zeros(2), "b": Bomb(tmp_path / "harm")}, tmp_path / "bomb.pth", **options)
    with pytest.raises(ModelError, match=r"bomb.pth is a pickle that calls \w+.mkdir, which can run code"):
        read_checkpoint(tmp_path / "bomb.pth", "RAFT")
    assert not (tmp_path / "harm").exists()


def test_torchscript_archives_are_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), str(tmp_path / "program.pt"))
    with pytest.raises(ModelError, match="is a TorchScript archive, which can run code"):
        read_checkpoint(tmp_path / "program.pt", "RAFT")


def test_tar_archives_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "old.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    with pytest.raises(ModelError, match="is a tar archive"):
        read_checkpoint(tmp_path / "old.pth", "RAFT")


def rewritten(path: Path, change: Any, compression: int = zipfile.ZIP_STORED) -> None:
    """The same archive, its program changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, part in parts.items():
            archive.writestr(name, change(part) if name.endswith("data.pkl") else part)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda part: part.replace(b"K\x07", b"K\x08"), "larger than its numbers|differs"),
        (lambda part: part[:40], "not a readable file"),
        (lambda part: part.replace(b"\x89", b"\x8f"), "a pickle with EMPTY_SET"),
        (lambda part: part.replace(b"}q\x00", b"]q\x00"), "no dictionary"),
    ],
    ids=["more numbers than there are", "broken off", "another opcode", "a list with keys"],
)
def test_what_a_pickle_says_of_itself_is_not_believed(tmp_path: Path, change: Any, words: str) -> None:
    torch.save({"a": torch.zeros(7)}, tmp_path / "weights.pth")
    rewritten(tmp_path / "weights.pth", change)
    with pytest.raises(ModelError, match=words):
        read_checkpoint(tmp_path / "weights.pth", "RAFT")


def test_small_files_do_not_hold_large_tensors(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(1).expand(2**30)}, path)
    with pytest.raises(ModelError, match="larger than its numbers"):
        read_checkpoint(path, "RAFT")
    block = torch.zeros(4096)
    torch.save({str(k): block[k:] for k in range(100)}, path)
    with pytest.raises(ModelError, match="larger than the file"):
        read_checkpoint(path, "RAFT")
    torch.save({"a": torch.zeros(2**20)}, path)
    rewritten(path, lambda part: part, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="compressed"):
        read_checkpoint(path, "RAFT")


def test_nothing_else_unpickles_weights() -> None:
    for path in [*(ROOT / "patchvsr_core").rglob("*.py"), *(ROOT / "nodes").glob("*.py")]:
        text = path.read_text("utf-8")
        assert "torch.load(" not in text and "jit.load(" not in text and "weights_only" not in text, path
        assert "import pickle\n" not in text or path.name == "distributed.py", path
