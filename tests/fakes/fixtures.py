"""Fixtures over the stand-in; a ``conftest.py`` imports those that its tests use.

They last for one test module, so that the rest of the test run never sees the stand-in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from .graph import run_node
from .pack import Pack, fake_comfyui, load_pack


@pytest.fixture(scope="module")
def pack() -> Iterator[Pack]:
    """This pack, loaded as ComfyUI loads it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # tensors this small only wait for one another
    with fake_comfyui():
        yield load_pack()
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Tiny:
    """What Load Tiny Default answers."""

    model: Any
    vae: Any
    adapter: Any
    prompt: Any
    whole: Any


@pytest.fixture(scope="module")
def tiny(pack: Pack) -> Tiny:
    """The shipped model."""
    return Tiny(*run_node(pack["LoadTinyDefault"]))
