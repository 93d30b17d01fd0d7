"""The example node of the manual loads as ComfyUI loads it, and works."""

from __future__ import annotations

import asyncio
import importlib.util

import pytest
import torch
from fakes import ROOT, run_node

from patchvsr_core.errors import PlanError
from patchvsr_core.resample import resize

FILE = ROOT / "examples" / "custom_node.py"


@pytest.fixture
def node(pack):
    spec = importlib.util.spec_from_file_location("agree_with_input", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (found,) = asyncio.run(asyncio.run(module.comfy_entrypoint()).get_node_list())
    return found


def test_a_result_of_other_colours_agrees_with_its_input_afterwards(node):
    source = torch.rand(2, 12, 16, 3, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    off = resize(source, (48, 64)) * 0.7 + 0.2
    (agreeing,) = run_node(node, image=off, source=source)
    before, after = ((resize(frames, (12, 16)) - source).abs().mean() for frames in (off, agreeing))
    assert before > 0.02 and after < before / 5
    (untouched,) = run_node(node, image=off, source=source, rounds=0)
    assert not torch.equal(untouched, agreeing)


def test_what_cannot_be_is_said_in_a_sentence(node):
    with pytest.raises(PlanError, match="swapped"):
        run_node(node, image=torch.rand(1, 4, 4, 3), source=torch.rand(1, 8, 8, 3))
