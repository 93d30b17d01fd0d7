"""Large matrices as 8-bit integers: what is read is what was written, but for rounding."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from small_models import random_wan
from torch import Tensor

from patchvsr_core.errors import ModelError
from patchvsr_core.files import read_header, read_tensors, sha256, store_as_int8
from patchvsr_core.files.int8 import KEY, SCALE, Int8, dequantize_matrix, quantize_matrix
from patchvsr_core.hosts.diffusers.loading import load_base

State = dict[str, Tensor]


def weights(dtype: torch.dtype = torch.bfloat16) -> State:
    generator = torch.Generator().manual_seed(0)
    shapes = {"bias": (256,), "conv": (64, 5, 1, 9, 9), "linear": (256, 100), "table": (1, 6, 4096), "tiny": (8, 8)}
    return {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    path = tmp_path / "halves.safetensors"
    save_file(weights(), str(path), metadata={"format": "any"})
    return path


@pytest.mark.parametrize("shape", [(3, 64), (3, 100), (3, 5), (2, 7, 1, 3, 3), (1, 1)])
def test_no_value_is_further_off_than_half_a_step(shape: tuple[int, ...]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    matrix[0] = 0
    integers, scale = quantize_matrix(matrix)
    read = dequantize_matrix(integers, scale, torch.float32)
    steps = scale.reshape(-1, *[1] * (len(shape) - 1))
    assert integers.shape == shape and ((read - matrix).abs() <= steps * 0.5001).all() and (read[0] == 0).all()
    assert shape == (1, 1) or integers.abs().max() == 127


def test_a_file_is_read_as_before_it_was_stored_so(halves: Path, tmp_path: Path) -> None:
    target = tmp_path / "integers.safetensors"
    store_as_int8(halves, target)
    before, after = weights(), read_tensors(target)
    assert set(after) == set(before) and read_header(target).shapes == read_header(halves).shapes
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype and after[name].shape == tensor.shape
        if name in ("conv", "linear"):
            error = (after[name].float() - tensor.float()).abs().max()
            assert 0 < error < 0.01 * tensor.float().abs().max()
        else:
            assert torch.equal(after[name], tensor), name
    header = read_header(target)
    assert header.metadata["format"] == "any" and header.int8 == Int8(source=sha256(halves))
    assert target.stat().st_size < 0.7 * halves.stat().st_size


def test_files_in_half_precision_are_read_as_they_are(halves: Path) -> None:
    read = read_tensors(halves)
    assert read_header(halves).int8 is None
    assert all(
        torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in weights().items()
    )


def test_a_file_can_take_its_own_place_once(halves: Path) -> None:
    store_as_int8(halves, halves)
    with safe_open(str(halves), framework="pt") as file:
        assert file.get_tensor("linear").dtype == torch.int8 and file.get_tensor("linear" + SCALE).shape == (256,)
    with pytest.raises(ModelError, match="8-bit integers already"):
        store_as_int8(halves, halves)


def test_a_file_without_large_matrices_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_file({"bias": torch.zeros(2**15)}, str(path))
    with pytest.raises(ModelError, match="no large matrices"):
        store_as_int8(path, path)


def test_a_base_is_loaded_from_integers(tmp_path: Path) -> None:
    path = tmp_path / "base.safetensors"
    save_file(random_wan(), str(path), metadata={"start_noise": "0.1", "prediction": "residual"})
    before = load_base(path).transformer.state_dict()
    store_as_int8(path, path)
    base = load_base(path)
    assert base.start_noise == 0.1 and base.prediction == "residual"
    differences = {
        name: float((value - before[name]).abs().max()) for name, value in base.transformer.state_dict().items()
    }
    assert 0 < max(differences.values()) < 0.01


def remove_scale(tensors: State, metadata: dict[str, str]) -> None:
    del tensors["linear" + SCALE]


def cut_scale(tensors: State, metadata: dict[str, str]) -> None:
    tensors["linear" + SCALE] = tensors["linear" + SCALE][:1]


def use_fractions(tensors: State, metadata: dict[str, str]) -> None:
    tensors["linear"] = tensors["linear"].float()


def describe(value: Any) -> Callable[[State, dict[str, str]], None]:
    def change(tensors: State, metadata: dict[str, str]) -> None:
        metadata[KEY] = value if isinstance(value, str) else json.dumps(value)

    return change


@pytest.mark.parametrize(
    "change",
    [
        remove_scale,
        cut_scale,
        use_fractions,
        *map(
            describe,
            ("{", "[" * 10**5, [], 1, {"dtype": "x"}, {"dtype": []}, {"a": 1}),
        ),
    ],
)
def test_files_that_do_not_go_together_are_refused(
    halves: Path, change: Callable[[State, dict[str, str]], None]
) -> None:
    store_as_int8(halves, halves)
    with safe_open(str(halves), framework="pt") as file:
        metadata, tensors = dict(file.metadata()), {name: file.get_tensor(name) for name in file.keys()}
    change(tensors, metadata)
    save_file(tensors, str(halves), metadata=metadata)
    with pytest.raises(ModelError, match=r"halves\.safetensors is damaged"):
        read_tensors(halves)


def test_what_the_metadata_says_is_what_was_meant() -> None:
    stored = Int8(dtype="float16", source="ab")
    assert json.loads(stored.metadata()[KEY]) == asdict(stored) == {"dtype": "float16", "source": "ab"}
