"""One run of the whole chain, for every test that looks at its parts."""

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
