"""Exported weights are stored as 8-bit integers, and the manifest says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from patchvsr_core.files import read_tensors, sha256
from patchvsr_core.training.__main__ import main


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "exported" / "tiny_base.safetensors"
    path.parent.mkdir()
    save_file({"weight": torch.randn(128, 128).bfloat16()}, str(path))
    return path


def test_weights_are_written_again(exported: Path, tmp_path: Path) -> None:
    target = tmp_path / "weights"
    assert main(["export", "--int8", str(exported), "--to", str(target)]) == 0
    assert [path.name for path in target.iterdir()] == [exported.name]
    written = target / exported.name
    assert written.stat().st_size < exported.stat().st_size
    torch.testing.assert_close(read_tensors(written), read_tensors(exported), atol=0.02, rtol=0)


def test_the_manifest_beside_them_is_brought_up_to_date(exported: Path) -> None:
    manifest, before = exported.parent / "manifest.json", sha256(exported)
    manifest.write_text(json.dumps({"licence": "Apache-2.0", "files": {"gone.safetensors": {}}, "config": {"a": 1}}))
    assert main(["export", "--int8", str(exported), "--to", str(exported.parent)]) == 0
    entry = {"sha256": sha256(exported), "bytes": exported.stat().st_size, "int8_of": before}
    assert json.loads(manifest.read_text()) == {
        "licence": "Apache-2.0",
        "files": {exported.name: entry},
        "config": {"a": 1},
    }


def test_either_a_run_or_files(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given in ([], ["--run", "RUN", "--int8", str(exported)]):
        with pytest.raises(SystemExit):
            main(["export", *given, "--to", str(exported.parent)])
    assert main(["export", "--int8", str(exported), str(exported), "--to", str(exported.parent)]) == 2
    assert "8-bit integers already" in capsys.readouterr().err
