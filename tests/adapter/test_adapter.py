from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from adapter_inputs import BASE, control, micro
from safetensors.torch import load_file, save_file
from small_models import random_adapter

from patchvsr_core.adapter import (
    Adapter,
    AdapterConfig,
    BaseSpec,
    Strengths,
    load_adapter,
    save_adapter,
)
from patchvsr_core.adapter.blocks import rope_3d
from patchvsr_core.errors import AdapterError


def test_every_part_says_something() -> None:
    adapter = random_adapter(BASE)
    said = control(adapter)
    assert said.residual(0).shape == (2, 2 * 4 * 3, 128)
    k, v = said.global_kv(1)
    assert k.shape == v.shape == (2, 2 * 1 * 2, 128)
    assert said.time_delta.shape == (2, 128)


def test_global_branch_ends_in_a_quarter_of_the_tokens() -> None:
    adapter = random_adapter(BASE)
    view = torch.randn(1, 16, 3, 16, 24)
    said = adapter.control(torch.randn(1, 16, 3, 8, 6), micro(1), view=view, location=torch.zeros(1, 1, 16, 24))
    assert said.global_kv(0)[0].shape[1] == 3 * 8 * 12 // 4


@pytest.mark.parametrize("name", ["scale", "top", "left", "noise"])
def test_micro_conditions_reach_base_and_branches(name: str) -> None:
    adapter = random_adapter(BASE)
    a, b = control(adapter, micro(2)), control(adapter, micro(2, **{name: 0.5 if name != "scale" else 2.0}))
    assert not torch.allclose(a.time_delta, b.time_delta)
    assert not torch.allclose(a.residual(0), b.residual(0))


def test_location_changes_the_global_context_of_that_patch_alone() -> None:
    adapter = random_adapter(BASE)
    location = torch.zeros(2, 1, 4, 6)
    location[1, 0, :2] = 1
    a, b = control(adapter).global_kv(0)[1], control(adapter, location=location).global_kv(0)[1]
    assert torch.allclose(a[0], b[0], atol=1e-6)
    assert not torch.allclose(a[1], b[1], atol=1e-3)


def test_strengths_scale_and_switch_off() -> None:
    adapter = random_adapter(BASE)
    full = control(adapter)
    half = control(adapter, strengths=Strengths(0.5, 0.5))
    torch.testing.assert_close(half.residual(0), full.residual(0) / 2)
    torch.testing.assert_close(half.global_kv(0)[1], full.global_kv(0)[1] / 2)
    torch.testing.assert_close(half.global_kv(0)[0], full.global_kv(0)[0])
    off = control(adapter, strengths=Strengths(0.0, 0.0))
    assert off.residual(0) is None and off.global_kv(0) is None


def test_repeated_control_holds_every_condition() -> None:
    said = control(random_adapter(BASE), anchor=torch.randn(2, 16, 2, 8, 6))
    twice = said.repeat(2)
    assert torch.equal(twice.residual(1), torch.cat([said.residual(1)] * 2))
    assert torch.equal(twice.anchor[2:], said.anchor)
    assert torch.equal(twice.time_delta[:2], said.time_delta)


def test_branches_can_be_left_out() -> None:
    only_patch = random_adapter(BASE, global_blocks=0)
    assert control(only_patch).global_kv(0) is None
    only_global = random_adapter(BASE, patch_blocks=0)
    assert control(only_global).residual(0) is None


def test_rope_matches_wans_split_over_the_axes() -> None:
    cos, _ = rope_3d((2, 3, 4), 128, torch.device("cpu"))
    assert cos.shape == (24, 64)
    token = (1 * 3 + 2) * 4 + 3
    frequency = 10000 ** -(2 / 44)
    assert cos[token, 1] == pytest.approx(torch.tensor(1 * frequency).cos().item(), abs=1e-6)
    assert cos[token, 22] == pytest.approx(torch.tensor(2.0).cos().item(), abs=1e-6)
    assert cos[token, 43] == pytest.approx(torch.tensor(3.0).cos().item(), abs=1e-6)


def test_merged_tokens_sit_in_the_middle_of_what_they_merged() -> None:
    fine, _ = rope_3d((1, 4, 4), 64, torch.device("cpu"))
    coarse, _ = rope_3d((1, 2, 2), 64, torch.device("cpu"), spacing=2)
    assert coarse[0, 22] == pytest.approx(torch.tensor(0.5).cos().item(), abs=1e-6)
    assert fine[4, 12] == pytest.approx(torch.tensor(1.0).cos().item(), abs=1e-6)


def test_paper_size_for_wan_1_3b() -> None:
    spec = BaseSpec(16, 1536, 30, 8960, 4096)
    with torch.device("meta"):
        adapter = Adapter(AdapterConfig(spec, width=1536, head_dim=128, ffn=8960, patch_blocks=4, prompt_tokens=512))
    millions = {
        name: sum(p.numel() for p in module.parameters()) / 1e6
        for name, module in {
            "patch blocks": adapter.patch.blocks,
            "global blocks": adapter.global_.blocks,
            "zero linears": adapter.patch.out,
            "keys": adapter.global_.k,
            "values": adapter.global_.v,
        }.items()
    }
    assert millions["patch blocks"] == pytest.approx(186, abs=1)
    assert millions["global blocks"] == pytest.approx(93, abs=1)
    assert millions["zero linears"] == pytest.approx(71, abs=1)
    assert millions["keys"] + millions["values"] == pytest.approx(142, abs=1)


def test_file_round_trip(tmp_path: Path) -> None:
    adapter = random_adapter(BASE, lora_rank=3)
    save_adapter(adapter, tmp_path / "a.safetensors", torch.float32)
    loaded = load_adapter(tmp_path / "a.safetensors")
    assert loaded.config == adapter.config
    assert all(torch.equal(a, b) for a, b in zip(adapter.parameters(), loaded.parameters(), strict=True))
    assert load_adapter(tmp_path / "a.safetensors", dtype=torch.bfloat16).prompt.dtype == torch.bfloat16


def damaged(tmp_path: Path, change) -> Path:
    """An adapter file after ``change`` to its tensors and metadata."""
    path = tmp_path / "a.safetensors"
    adapter = random_adapter(BASE)
    save_adapter(adapter, path, torch.float32)
    tensors = load_file(str(path))
    metadata = {"format": "patchvsr-adapter", "config": json.dumps(_config_dict(adapter))}
    change(tensors, metadata)
    save_file(tensors, str(path), metadata=metadata)
    return path


def _config_dict(adapter: Adapter) -> dict:
    config = {name: getattr(adapter.config, name) for name in AdapterConfig.__dataclass_fields__}
    return {**config, "base": vars(adapter.config.base)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, m: t.pop("prompt"), "lacks tensor 'prompt'"),
        (lambda t, m: t.update(extra=torch.zeros(1)), "unknown tensor 'extra'"),
        (lambda t, m: t.update(prompt=torch.zeros(1, 2, 64)), r"'prompt' .* has shape \(1, 2, 64\)"),
        (lambda t, m: m.update(format="lora"), "not a PatchVSR adapter"),
        (lambda t, m: m.update(config=m["config"].replace('"version": 1', '"version": 9')), "version 9"),
        (lambda t, m: m.update(config=m["config"].replace('"width"', '"breadth"', 1)), "may be newer: update PatchVSR"),
        (lambda t, m: m.update(config="{"), "cannot be read"),
    ],
)
def test_damaged_files_say_what_is_wrong(tmp_path: Path, change, words: str) -> None:
    with pytest.raises(AdapterError, match=words) as caught:
        load_adapter(damaged(tmp_path, change))
    assert "\n" not in str(caught.value)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no adapter file"):
        load_adapter(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(AdapterError, match="not a readable safetensors"):
        load_adapter(tmp_path / "text.safetensors")


@pytest.mark.parametrize("field", ["channels", "width", "layers", "ffn", "text_dim"])
def test_every_difference_of_the_base_is_named(field: str) -> None:
    other = replace(BASE, **{field: getattr(BASE, field) + 2})
    with pytest.raises(AdapterError, match=f"{getattr(BASE, field)} .* has {getattr(other, field)}"):
        BASE.check_same(other)
    BASE.check_same(replace(BASE))
