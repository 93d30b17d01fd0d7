"""The real-time network RDG: reference numbers, streaming, causality, files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from patchvsr_core.errors import ModelError
from patchvsr_core.realtime.rdg import RDG, load_rdg, save_rdg
from patchvsr_core.realtime.rdg_blocks import BUFFERS
from patchvsr_core.weights import shipped

PUBLISHED = "PATCHVSR_RDG_WEIGHTS"
"""Environment variable that names the authors' RDG_Small.pth, which is not part of this project."""
GOLDEN = Path(__file__).parents[1] / "golden" / "rdg_nf8.npz"
CHANNELS = {"Image": 3, **BUFFERS}


def a_clip(frames: int = 3, size: tuple[int, int] = (18, 22), seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(1, frames, count, *size, generator=generator) for name, count in CHANNELS.items()}


def a_network(**choices: bool) -> RDG:
    """One in which every part has a say."""
    torch.manual_seed(0)
    network = RDG(8, **choices)
    for alpha in network.skip_alphas:
        torch.nn.init.normal_(alpha)
    return network.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in np.load(GOLDEN).items()}


def weights(golden: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name[3:]: value for name, value in golden.items() if name.startswith("sd.")}


def test_reference_numbers(golden: dict[str, torch.Tensor]) -> None:
    network = RDG(8)
    network.load_state_dict(weights(golden))
    with torch.no_grad():
        out = network({name[3:]: value for name, value in golden.items() if name.startswith("in.")})
    assert (out - golden["out"]).abs().max() < 1e-5


@pytest.mark.parametrize(("channels", "count"), [(16, 303_680), (36, 1_473_600)])
def test_parameters_are_as_many_as_published(channels: int, count: int) -> None:
    assert sum(parameter.numel() for parameter in RDG(channels).parameters()) == count


def test_a_new_network_has_the_shifts_of_the_published_ones(golden: dict[str, torch.Tensor]) -> None:
    made = RDG(8).state_dict()
    for name, value in weights(golden).items():
        assert made[name].shape == value.shape
        if name.endswith("offset"):
            assert torch.equal(made[name], value)


def test_streaming_equals_batch() -> None:
    network, clip = a_network(), a_clip(4)
    memory, frames = None, []
    for index in range(4):
        buffers = {name: values[:, index] for name, values in clip.items()}
        buffers["Motion"] = clip["Motion"][:, max(index - 1, 0)]
        frame, memory = network.step(buffers, memory)
        frames.append(frame)
    assert (torch.stack(frames, 1) - network(clip)).abs().max() < 1e-5


def test_later_frames_do_not_matter_and_earlier_ones_do() -> None:
    network, clip = a_network(), a_clip(3)
    before = network(clip)
    changed = {name: values.clone() for name, values in clip.items()}
    for values in changed.values():
        values[:, 2] += 0.5
    after = network(changed)
    assert torch.equal(before[:, :2], after[:, :2])
    changed["Image"][:, 0] = 0
    assert (network(changed)[:, 1] - before[:, 1]).abs().max() > 1e-4


@pytest.mark.parametrize("size", [(8, 12), (9, 13), (7, 6), (4, 4)])
def test_any_size(size: tuple[int, int]) -> None:
    assert a_network()(a_clip(2, size)).shape == (1, 2, 3, 4 * size[0], 4 * size[1])


def test_every_buffer_has_a_say() -> None:
    network, clip = a_network(), a_clip(2)
    before = network(clip)
    for name in BUFFERS:
        changed = {**clip, name: clip[name] + 0.7}
        assert (network(changed)[:, 1] - before[:, 1]).abs().max() > 1e-5, name


def test_motion_in_cells_of_every_size_is_a_choice() -> None:
    clip = a_clip(2)
    clip["Motion"] = clip["Motion"] * 4
    plain, scaled = a_network()(clip), a_network(scaled_motion=True)(clip)
    assert torch.equal(plain[:, 0], scaled[:, 0]), "the first frame has nothing before it"
    assert (plain[:, 1] - scaled[:, 1]).abs().max() > 1e-5


@pytest.mark.parametrize("kind", ["safetensors", "pth", "nested"])
def test_published_files_load_strictly(tmp_path: Path, golden: dict[str, torch.Tensor], kind: str) -> None:
    state = weights(golden)
    path = tmp_path / ("RDG.safetensors" if kind == "safetensors" else "RDG.pth")
    if kind == "safetensors":
        save_file(state, str(path))
    else:
        torch.save({"params": state} if kind == "nested" else state, path)
    network = load_rdg(path)
    assert network.channels == 8 and not network.training and network.published
    assert torch.equal(network.first_conv.weight, state["first_conv.weight"])


def test_files_of_the_trainer_keep_buffers_of_their_own(tmp_path: Path) -> None:
    save_rdg(a_network(), tmp_path / "own.safetensors")
    assert (
        not load_rdg(tmp_path / "own.safetensors").published
        and not load_rdg(shipped("rdg_small.safetensors")).published
    )


@pytest.mark.skipif(PUBLISHED not in os.environ, reason=f"{PUBLISHED} names no RDG_Small.pth")
def test_the_authors_file_gives_the_authors_numbers() -> None:
    """Measured with their own code, on a CPU: mean and deviation of the result on random buffers."""
    network = load_rdg(os.environ[PUBLISHED])
    torch.manual_seed(0)
    shape = (1, 3, 34, 50)
    batch, frames, height, width = shape
    clip = {"Image": torch.rand(batch, frames, 3, height, width)}
    clip["Motion"] = torch.randn(batch, frames, 2, height, width)
    for name, channels in (("Depth", 1), ("Normal", 3), ("BRDF", 3)):
        clip[name] = torch.rand(batch, frames, channels, height, width)
    with torch.no_grad():
        made = network(clip)
    assert abs(float(made.mean()) - 0.280608) < 1e-5 and abs(float(made.std()) - 1.857328) < 1e-5


def test_other_files_say_why(tmp_path: Path, golden: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ModelError, match="no file with RDG weights"):
        load_rdg(tmp_path / "none.pth")
    for state, words in (({"a": torch.zeros(1)}, "is not an RDG"), (weights(golden), "do not fit an RDG")):
        state.pop("ups.0.conv.bias", None)
        torch.save(state, tmp_path / "some.pth")
        with pytest.raises(ModelError, match=words):
            load_rdg(tmp_path / "some.pth")
