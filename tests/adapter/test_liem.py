"""Local gates: the numbers of STAR's own, and what they leave alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from adapter_inputs import BASE, control
from small_models import random_adapter

from patchvsr_core.adapter import Adapter, AdapterConfig, Strengths, load_adapter, save_adapter
from patchvsr_core.adapter.liem import LocalGate
from patchvsr_core.errors import AdapterError

GRID = (2, 5, 7)


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    with np.load(Path(__file__).parents[1] / "golden" / "star_liem.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file}


def star_gate(golden: dict[str, torch.Tensor]) -> LocalGate:
    gate = LocalGate(gain=1.0)
    gate.load_state_dict({"spatial.weight": golden["sp_w"], "temporal.weight": golden["tp_w"]})
    return gate.requires_grad_(False)


def tokens(*, width: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randn(3, GRID[0] * GRID[1] * GRID[2], width, generator=torch.Generator().manual_seed(seed))


def test_spatial_gate_has_the_reference_numbers(golden: dict[str, torch.Tensor]) -> None:
    frames = golden["sp_in"]
    count, _, height, width = frames.shape
    x = frames.flatten(2).transpose(1, 2)
    gate = star_gate(golden)
    out = x * gate.spatial_gate(gate.statistics(x), (1, height, width))
    assert (out.transpose(1, 2).reshape(frames.shape) - golden["sp_out"]).abs().max() < 1e-5
    clip = x.reshape(1, count * height * width, -1)
    out = clip * gate.spatial_gate(gate.statistics(clip), (count, height, width))
    assert (out.reshape(x.shape).transpose(1, 2).reshape(frames.shape) - golden["sp_out"]).abs().max() < 1e-5


def test_temporal_gate_has_the_reference_numbers(golden: dict[str, torch.Tensor]) -> None:
    gate, x = star_gate(golden), golden["tp_in"]
    assert (x * gate.temporal_gate(gate.statistics(x)) - golden["tp_out"]).abs().max() < 1e-5


def test_the_temporal_gate_sees_what_the_spatial_one_let_through(golden: dict[str, torch.Tensor]) -> None:
    gate, x = star_gate(golden), tokens()
    let_through = x * gate.spatial_gate(gate.statistics(x), GRID)
    expected = let_through * gate.temporal_gate(gate.statistics(let_through))
    torch.testing.assert_close(gate(x, GRID), expected, rtol=1e-6, atol=1e-6)


def test_a_gate_has_a_hundred_parameters() -> None:
    assert sum(p.numel() for p in LocalGate(gain=2.0).parameters()) == 100
    adapter = Adapter(AdapterConfig(BASE, width=96, head_dim=32, liem="identity"))
    assert len(adapter.liem) == BASE.layers
    assert Adapter(AdapterConfig(BASE, width=96, head_dim=32)).liem is None


def test_untrained_gates_are_exact() -> None:
    x = tokens()
    assert torch.equal(LocalGate(gain=2.0)(x, GRID), x)
    half = LocalGate(gain=1.0)
    assert (half.spatial_gate(half.statistics(x), GRID) == 0.5).all()
    assert (half.temporal_gate(half.statistics(x)) == 0.5).all()
    assert torch.equal(half(x, GRID), x / 4), "both gates, one after the other"


def test_strength_goes_from_nothing_to_all(golden: dict[str, torch.Tensor]) -> None:
    gate, x = star_gate(golden), tokens()
    whole = gate(x, GRID)
    assert (whole - x).abs().max() > 0.1
    torch.testing.assert_close(gate(x, GRID, 0.25), x + 0.25 * (whole - x), rtol=1e-6, atol=1e-6)


def test_frames_and_videos_do_not_see_each_other(golden: dict[str, torch.Tensor]) -> None:
    gate, x = star_gate(golden), tokens()
    changed = x.clone()
    changed[1, GRID[1] * GRID[2] :] += 1
    a, b = gate(x, GRID), gate(changed, GRID)
    assert torch.equal(a[[0, 2]], b[[0, 2]])
    assert torch.equal(a[1, : GRID[1] * GRID[2]], b[1, : GRID[1] * GRID[2]])
    assert not torch.allclose(a[1], b[1])


def test_control_gates_block_by_block() -> None:
    x = torch.randn(2, 24, BASE.width)
    adapter = random_adapter(BASE, liem="star")
    said = control(adapter)
    assert torch.equal(said.gate(1, x, (2, 4, 3)), adapter.liem[1](x, (2, 4, 3)))
    assert not torch.equal(said.gate(0, x, (2, 4, 3)), said.gate(1, x, (2, 4, 3)))
    twice = said.repeat(2).gate(1, torch.cat([x, x]), (2, 4, 3))
    torch.testing.assert_close(twice[2:], said.gate(1, x, (2, 4, 3)))
    half = control(adapter, strengths=Strengths(liem=0.5))
    assert torch.equal(half.gate(0, x, (2, 4, 3)), adapter.liem[0](x, (2, 4, 3), 0.5))
    assert torch.equal(half.repeat(2).gate(0, x, (2, 4, 3)), half.gate(0, x, (2, 4, 3)))
    assert control(adapter, strengths=Strengths(liem=0.0)).gate(0, x, (2, 4, 3)) is x
    assert control(random_adapter(BASE)).gate(0, x, (2, 4, 3)) is x


def test_gates_are_in_the_file(tmp_path: Path) -> None:
    adapter = random_adapter(BASE, liem="identity")
    save_adapter(adapter, tmp_path / "a.safetensors", torch.float32)
    loaded = load_adapter(tmp_path / "a.safetensors")
    assert loaded.config.liem == "identity"
    assert torch.equal(loaded.liem[1].spatial.weight, adapter.liem[1].spatial.weight)


def test_an_unknown_gain_is_refused() -> None:
    with pytest.raises(AdapterError, match=r"'sigmoid'.*none, identity, star"):
        AdapterConfig(BASE, liem="sigmoid")
