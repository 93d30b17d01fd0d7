"""Small files of weights take little memory and time, whatever they say of themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from patchvsr_core.adapter import AdapterConfig, BaseSpec, load_adapter
from patchvsr_core.degradation import EstimatorConfig, load_estimator
from patchvsr_core.errors import ModelError
from patchvsr_core.files import MOST_HEADER_BYTES, fill_module, parse_config, read_header
from patchvsr_core.finish.refine import RefinerConfig, load_refiner
from patchvsr_core.hosts.diffusers.loading import load_base, load_prompt
from patchvsr_core.realtime.dap import DAPConfig, load_dap
from patchvsr_core.realtime.rdg import load_rdg
from patchvsr_core.restorer import RestorerConfig, load_restorer
from patchvsr_core.vae.conditional_decoder import ConditionalDecoderConfig, load_conditional_decoder

ROOT = Path(__file__).parents[2]
ROOM_BYTES = 2**29
"""Beside what the process has once everything is imported."""
SECONDS = 20
BASE = BaseSpec(192, 256, 6, 768, 256)
Load = Callable[[Path], Any]

PROBE = f"""
import resource, sys, time
import torch, diffusers
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
from pathlib import Path
import test_files
with torch.device("meta"):
    torch.nn.Linear(1, 1)
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + {ROOM_BYTES}
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for kind, path in zip(sys.argv[1::2], sys.argv[2::2]):
    start = time.perf_counter()
    try:
        test_files.LOADERS[kind](Path(path))
    except test_files.ModelError as error:
        assert "alloc" not in str(error) and "emory" not in str(error), error  # it was tried
        print(path, "refused")
    assert time.perf_counter() - start < {SECONDS}, path
"""

LOADERS: dict[str, Load] = {
    "adapter": load_adapter,
    "base": load_base,
    "conditional-decoder": load_conditional_decoder,
    "dap": load_dap,
    "estimator": load_estimator,
    "rdg": load_rdg,
    "refiner": load_refiner,
    "restorer": load_restorer,
    "prompt": lambda path: load_prompt(path, 256),
}


def written(path: Path, kind: str, config: Any, /, **changes: Any) -> Path:
    """A file that has the right format, and the configuration with changes."""
    metadata = {"format": f"patchvsr-{kind}", "config": json.dumps(asdict(config) | changes)}
    save_file({"a": torch.zeros(1)}, str(path), metadata=metadata)
    return path


def hostile_files(folder: Path) -> list[tuple[str, Path]]:
    """Files of at most a few kilobytes that would each take gigabytes or minutes."""
    refiner, dap, restorer, adapter = RefinerConfig(), DAPConfig(), RestorerConfig(), AdapterConfig(BASE)
    files = [
        ("adapter", written(folder / "ffn", "adapter", adapter, ffn=10**5)),
        ("adapter", written(folder / "ffn1e6", "adapter", adapter, ffn=10**6)),
        ("adapter", written(folder / "width", "adapter", replace(adapter, width=2**16))),
        ("adapter", written(folder / "patch_blocks", "adapter", adapter, patch_blocks=10**4)),
        ("adapter", written(folder / "tokens", "adapter", adapter, prompt_tokens=2**17)),
        ("adapter", written(folder / "base", "adapter", adapter, base=asdict(BASE) | {"layers": 10**7})),
        ("dap", written(folder / "levels", "dap", dap, levels=10**6)),
        ("dap", written(folder / "channels", "dap", dap, channels=10**5)),
        ("dap", written(folder / "points", "dap", dap, points=10**5)),
        ("refiner", written(folder / "blocks", "refiner", refiner, blocks=10**6)),
        ("refiner", written(folder / "refiner_channels", "refiner", refiner, channels=10**5)),
        ("restorer", written(folder / "restorer_channels", "restorer", restorer, channels=10**5)),
        ("restorer", written(folder / "hidden", "restorer", restorer, hidden=10**5)),
        ("estimator", written(folder / "views", "estimator", EstimatorConfig(), views=10**5)),
        ("estimator", written(folder / "features", "estimator", EstimatorConfig(), features=10**5)),
        (
            "conditional-decoder",
            written(folder / "stride", "conditional-decoder", ConditionalDecoderConfig(), stride_px=10**4),
        ),
    ]
    torch.save({"first_conv.weight": torch.zeros(1).expand(2**14, 2**14)}, folder / "expanded.pth")
    torch.save({"first_conv.weight": torch.zeros(2**16, 1)}, folder / "wide.pth")
    nothing = {f"blocks.{10**7}.ffn.0.weight": torch.zeros(1), "blocks.0.ffn.0.weight": torch.zeros(1)}
    names = ("patch_embedding.weight", "head.head.weight", "text_embedding.0.weight", "time_embedding.0.weight")
    save_file(nothing | {name: torch.zeros(128, 128) for name in names}, str(folder / "layers.safetensors"))
    return [
        *files,
        ("rdg", folder / "expanded.pth"),
        ("rdg", folder / "wide.pth"),
        ("base", folder / "layers.safetensors"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
def test_small_files_take_neither_memory_nor_time(tmp_path: Path) -> None:
    files = hostile_files(tmp_path)
    arguments = [str(part) for pair in files for part in pair]
    done = subprocess.run([sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("refused") == len(files), done.stdout


def test_a_network_is_compared_with_the_file_before_it_takes_memory() -> None:
    made: list[nn.Module] = []

    def make() -> nn.Module:
        made.append(nn.Linear(2**20, 2**20))  # 4 TiB
        return made[-1]

    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        fill_module(make, {"weight": torch.zeros(1), "bias": torch.zeros(1)})
    assert made[0].weight.is_meta


def test_a_filled_network_is_as_if_it_had_been_loaded() -> None:
    expected = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    tensors = {name: tensor.half() for name, tensor in expected.state_dict().items()}
    expected.load_state_dict(tensors)
    filled = fill_module(lambda: nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), tensors)
    assert all(torch.equal(value, filled.state_dict()[name]) for name, value in expected.state_dict().items())
    assert all(value.dtype == torch.float32 and value.requires_grad for value in filled.parameters())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value: float) -> None:
    with pytest.raises(ValueError, match="weight holds NaN or Inf"):
        fill_module(lambda: nn.Linear(1, 1), {"weight": torch.full((1, 1), value), "bias": torch.zeros(1)})


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": 0},
        {"channels": -1},
        {"channels": "64"},
        {"channels": True},
        {"channels": 64.0},
        {"blocks": 257},
        {"blocks": None},
        {"channels": [64]},
        {"kind": "large"},
        {"kind": 1},
        {"more": 1},
    ],
    ids=str,
)
def test_hyper_parameters_have_their_type_and_range(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(changes))):
        parse_config(RefinerConfig, changes)
    with pytest.raises(ModelError, match=f"weights is damaged or was edited.*{next(iter(changes))}"):
        load_refiner(written(tmp_path / "weights", "refiner", RefinerConfig(), **changes))


@pytest.mark.parametrize("kind", ["adapter", "estimator", "refiner", "dap", "restorer", "conditional-decoder"])
@pytest.mark.parametrize("config", ["[" * 100_000, "[]", "1", '"a"', "{", '{"version": 1, "base": []}'])
def test_configurations_that_are_none_are_explained(tmp_path: Path, kind: str, config: str) -> None:
    path = tmp_path / "weights"
    save_file({"a": torch.zeros(1)}, str(path), metadata={"format": f"patchvsr-{kind}", "config": config})
    with pytest.raises(ModelError):
        LOADERS[kind](path)


@pytest.mark.parametrize("head_dim", [0, 5, 4, -64])
def test_attention_heads_of_an_adapter_have_a_possible_size(tmp_path: Path, head_dim: int) -> None:
    with pytest.raises(ModelError, match=r"heads of|head_dim is"):
        load_adapter(written(tmp_path / "weights", "adapter", AdapterConfig(BASE), head_dim=head_dim))


def test_a_header_is_not_read_when_it_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes((MOST_HEADER_BYTES + 1).to_bytes(8, "little") + b" " * 100)
    with pytest.raises(ModelError, match=r"weights\.safetensors is damaged"):
        read_header(path)


@pytest.mark.parametrize("shape", [(1, 2, 3, 256), (2, 4, 256), (256,), (0, 256), (5000, 256), ()])
def test_a_prompt_has_the_shape_of_one(tmp_path: Path, shape: tuple[int, ...]) -> None:
    save_file({"prompt": torch.zeros(shape)}, str(tmp_path / "prompt.safetensors"))
    with pytest.raises(ModelError, match="encode one prompt"):
        load_prompt(tmp_path / "prompt.safetensors", 256)


@pytest.mark.parametrize(
    "metadata",
    [{"start_noise": "abc"}, {"start_noise": "nan"}, {"start_noise": "1e9"}, {"prediction": "noise"}],
    ids=str,
)
def test_the_metadata_of_a_base_is_checked(tmp_path: Path, metadata: dict[str, str]) -> None:
    names = ("patch_embedding.weight", "head.head.weight", "text_embedding.0.weight", "time_embedding.0.weight")
    tensors = {name: torch.zeros(128, 32) for name in (*names, "blocks.0.ffn.0.weight")}
    save_file(tensors, str(tmp_path / "base.safetensors"), metadata=metadata)
    with pytest.raises(ModelError, match=r"The metadata of base\.safetensors cannot be used"):
        load_base(tmp_path / "base.safetensors")
