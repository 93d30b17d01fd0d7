"""One run of the whole chain, for every test that looks at its parts."""

from pathlib import Path
from typing import Any

import pytest
from fakes.chain import a_clip, run_chain
from fakes.fixtures import pack, tiny

__all__ = ["pack", "tiny"]


@pytest.fixture(scope="module")
def clip():
    return a_clip()


@pytest.fixture(scope="module")
def chain(pack, tiny, clip):
    return run_chain(pack, tiny, clip)


@pytest.fixture
def places(pack: Any, tmp_path: Path) -> Path:
    """An output and a temporary folder."""
    import folder_paths

    for name in ("output", "temp"):
        (tmp_path / name).mkdir()
        folder_paths.folders[name] = tmp_path / name
    return tmp_path / "output"
