"""The benchmark of the kernels, as it is called, on frames of no size."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import kernels


def test_all_ways_blend_alike() -> None:
    cpu = torch.device("cpu")
    case = kernels.Blend("Small", (2, 60, 70), 32, 8)
    lattice = case.lattice(cpu)
    tiles = case.tiles(lattice, torch.float32, cpu)
    for dtype, off in ((torch.float32, 1e-6), (torch.uint8, 1)):
        first, *others = [way(tiles, lattice, case.size, dtype).float() for way in kernels.WAYS.values()]
        assert len(others) == 2
        for frames in others:
            torch.testing.assert_close(frames, first, atol=off, rtol=0)


def test_tables_and_facts_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peak = kernels.extra_mib
    monkeypatch.setattr(kernels, "extra_mib", lambda *how: peak(*how) if how[1:] == ("gather_blend", "u8") else 1.0)
    monkeypatch.setattr(kernels, "cases", lambda frames: [kernels.Blend("Small", (frames[0], 60, 70), 32, 8)])
    path = tmp_path / "kernels.md"
    arguments = ["--device", "cpu", "--frames", "2", "--repeats", "1", "--markdown", str(path)]
    monkeypatch.setattr(sys, "argv", ["kernels.py", *arguments])
    kernels.main()
    text = path.read_text()
    for words in ("Small: 2 x 70x60", "gather_blend, u8", "mix, bicubic", "add a patch", "not GPU-checked"):
        assert words in text
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["torch"] == torch.__version__ and len(facts["tables"]) == 2
    row = next(row for row in facts["tables"][0]["rows"] if row["way"] == "gather_blend, u8")
    assert float(row["ms"]) > 0 and float(row["extra MiB"]) < 50
