"""Every estimator finds known motion."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from patchvsr_core.errors import ModelError, PlanError
from patchvsr_core.optical_flow.estimators import ESTIMATORS, QUALITIES, Estimator, dis
from patchvsr_core.optical_flow.flow import warp
from patchvsr_core.optical_flow.raft import STEM, estimator_from_module, load_raft, raft

MARGIN = 24
"""Around the compared part, so that what the motion brings in is there too."""
OWN = {name: ESTIMATORS[name] for name in ("dis", "farneback", "pyramid")}
"""Those that need no weights."""


def smooth_picture(height: int, width: int) -> Tensor:
    """(1, 3, height, width) with detail of several sizes."""
    generator = torch.Generator().manual_seed(4)
    picture = torch.zeros(1, 3, height, width)
    for cells, share in ((24, 0.5), (10, 0.3), (5, 0.2)):
        noise = torch.rand(1, 3, height // cells + 2, width // cells + 2, generator=generator)
        picture += share * F.interpolate(noise, size=(height, width), mode="bicubic", align_corners=False)
    return picture.clamp(0, 1)


def moved_pair(flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(first, second, true flow), the outer margin cut off: what ``first`` shows at p is at p + flow."""
    second = smooth_picture(*flow.shape[-2:])
    inner = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    return warp(second, flow, "bicubic")[inner], second[inner], flow[inner]


def shift(dx: float, dy: float) -> Tensor:
    return torch.tensor([dx, dy])[None, :, None, None].expand(1, 2, 168, 208)


def rotation(degrees: float) -> Tensor:
    y, x = torch.meshgrid(torch.arange(168.0) - 83.5, torch.arange(208.0) - 103.5, indexing="ij")
    angle = math.radians(degrees)
    turned_x, turned_y = x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
    return torch.stack([turned_x - x, turned_y - y])[None]


def endpoint_error(flow: Tensor, truth: Tensor) -> float:
    return float((flow - truth).square().sum(1).sqrt().mean())


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(("dx", "dy"), [(6.0, 0.0), (0.0, -6.0), (-4.5, 2.25), (0.4, 0.3)])
def test_a_shift_is_found_to_a_third_of_a_pixel(name: str, dx: float, dy: float) -> None:
    first, second, truth = moved_pair(shift(dx, dy))
    flow = OWN[name]()(first, second)
    assert flow.shape == truth.shape and flow.dtype == torch.float32
    assert endpoint_error(flow, truth) < 0.3
    middle = flow[0, :, 30:-30, 30:-30].mean((1, 2))
    assert middle.tolist() == pytest.approx([dx, dy], abs=0.1), "channels are dx, dy; right and down are positive"


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("degrees", [3.0, -3.0])
def test_a_rotation_is_found_to_a_third_of_a_pixel(name: str, degrees: float) -> None:
    first, second, truth = moved_pair(rotation(degrees))
    assert truth.abs().max() > 4
    assert endpoint_error(OWN[name]()(first, second), truth) < 0.3


@pytest.mark.parametrize(("name", "most"), [("dis", 0.0), ("farneback", 0.1), ("pyramid", 1e-4)])
def test_equal_frames_do_not_move(name: str, most: float) -> None:
    """Farneback's border is never quite at rest."""
    frame = smooth_picture(60, 90)
    assert OWN[name]()(frame, frame).abs().max() <= most
    flat = torch.full((1, 3, 40, 40), 0.5)
    assert OWN[name]()(flat, flat).abs().max() == 0


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (15, 16), (17, 13), (25, 49)])
def test_frames_of_any_size_and_number_have_flows(name: str, size: tuple[int, int]) -> None:
    frames = torch.rand(4, 3, *size, generator=torch.Generator().manual_seed(1))
    flow = OWN[name]()(frames[:3], frames[1:])
    assert flow.shape == (3, 2, *size) and flow.isfinite().all()


@pytest.mark.parametrize("name", OWN)
def test_pairs_do_not_know_of_one_another(name: str) -> None:
    clip = torch.cat([smooth_picture(50, 70).roll(3 * k, dims=3) for k in range(4)])
    together = OWN[name]()(clip[:-1], clip[1:])
    alone = [OWN[name]()(clip[k : k + 1], clip[k + 1 : k + 2]) for k in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=0)
    assert torch.equal(OWN[name]()(clip[:-1], clip[1:]), together), "the same numbers every time"


@pytest.mark.parametrize("name", OWN)
def test_half_precision_and_values_out_of_range_are_taken(name: str) -> None:
    first, second, truth = moved_pair(shift(3, 1))
    before = first.clone()
    flow = OWN[name]()(first.half(), second.half())
    assert flow.dtype == torch.float32 and endpoint_error(flow, truth) < 0.3
    assert OWN[name]()(first * 3 - 1, second * 3 - 1).isfinite().all()
    assert torch.equal(first, before)


@pytest.mark.parametrize("name", ["dis", "pyramid"])
def test_light_that_changes_does_not_mislead(name: str) -> None:
    first, second, truth = moved_pair(shift(3, 1))
    assert endpoint_error(OWN[name]()(first * 0.8, second * 0.8 + 0.1), truth) < 0.3


def test_dis_gets_more_exact_with_its_quality_and_knows_no_other() -> None:
    first, second, truth = moved_pair(rotation(4))
    errors = [endpoint_error(dis(quality)(first, second), truth) for quality in QUALITIES]
    assert errors == sorted(errors, reverse=True) and errors[0] > errors[-1]
    assert torch.equal(dis("medium")(first, second), dis()(first, second))
    with pytest.raises(PlanError, match="ultrafast, fast, medium"):
        dis("slow")


class StandIn(nn.Module):
    """With RAFT's call interface and the name of its stem; holds what it was given."""

    def __init__(self, channels: int = 64, motion: tuple[float, float] = (3.0, -1.0)) -> None:
        super().__init__()
        self.feature_encoder = nn.Module()
        self.feature_encoder.convnormrelu = nn.Sequential(nn.Conv2d(3, channels, 7, bias=False))
        self.motion, self.seen = motion, list[Tensor]()

    def forward(self, image1: Tensor, image2: Tensor, num_flow_updates: int = 12) -> list[Tensor]:
        height, width = image1.shape[-2:]
        if height % 8 or width % 8 or min(height, width) < 128:
            raise ValueError(f"{height} x {width}")
        self.seen += [image1, image2]
        answer = image1.new_tensor(self.motion)[None, :, None, None].expand(len(image1), 2, height, width)
        return [answer * k / num_flow_updates for k in range(1, num_flow_updates + 1)]


@pytest.mark.parametrize("size", [(1, 1), (60, 200), (128, 136), (270, 480)])
def test_a_network_gets_whole_cells_in_its_own_range_and_its_last_flow_is_taken(size: tuple[int, int]) -> None:
    network = StandIn()
    estimate: Estimator = estimator_from_module(network)
    frames = torch.rand(3, 3, *size)
    flow = estimate(frames[:2], frames[1:])
    assert flow.shape == (2, 2, *size)
    assert flow.amin((0, 2, 3)).tolist() == flow.amax((0, 2, 3)).tolist() == [3.0, -1.0]
    shown = torch.cat(network.seen[0::2])
    torch.testing.assert_close(shown[..., : size[0], : size[1]], frames[:2] * 2 - 1)
    assert torch.equal(shown[:, :, -1, -1], (frames[:2] * 2 - 1)[:, :, -1, -1]), "padded with the edge"


def test_a_network_runs_in_its_own_precision_and_answers_in_full() -> None:
    network = StandIn().to(torch.bfloat16)
    flow = estimator_from_module(network)(torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128))
    assert flow.dtype == torch.float32 and network.seen[0].dtype == torch.bfloat16


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins where torchvision's networks would be."""
    networks: Any = ModuleType("torchvision.models.optical_flow")
    networks.raft_large = lambda weights, progress: StandIn(64, motion=(1.0, 0.0))
    networks.raft_small = lambda weights, progress: StandIn(32, motion=(0.0, 1.0))
    models: Any = ModuleType("torchvision.models")
    models.optical_flow = networks
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    monkeypatch.setitem(sys.modules, "torchvision.models.optical_flow", networks)


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize(("channels", "motion"), [(64, [1.0, 0.0]), (32, [0.0, 1.0])])
def test_the_shapes_in_a_file_say_which_network_it_is(
    tmp_path: Path, ending: str, channels: int, motion: list[float]
) -> None:
    file, state = tmp_path / f"weights.{ending}", StandIn(channels).state_dict()
    if ending == "pth":
        torch.save({f"module.{name}": tensor for name, tensor in state.items()}, file)
    else:
        save_file(state, file)
    frames = torch.rand(2, 3, 20, 30)
    assert raft(file)(frames[:1], frames[1:])[0, :, 0, 0].tolist() == motion
    network = load_raft(file)
    assert torch.equal(network.state_dict()[STEM], state[STEM])
    assert not network.training and not any(weight.requires_grad for weight in network.parameters())


@pytest.mark.usefixtures("torchvision")
def test_files_that_are_no_weights_of_raft(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    with pytest.raises(ModelError, match="no file with RAFT weights"):
        raft(file)
    file.write_bytes(b"not weights")
    with pytest.raises(ModelError, match="download it again"):
        raft(file)
    (tmp_path / "weights.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="get it again"):
        raft(tmp_path / "weights.safetensors")
    for state in ({"fnet.conv1.weight": torch.zeros(64, 3, 7, 7)}, {STEM: torch.zeros(48, 3, 7, 7)}, [1, 2]):
        torch.save(state, file)
        with pytest.raises(ModelError, match="no RAFT weights in torchvision's layout"):
            raft(file)
    torch.save({STEM: torch.zeros(64, 3, 7, 7), "more": torch.zeros(1)}, file)
    with pytest.raises(ModelError, match="do not fit torchvision's raft_large"):
        raft(file)


def test_without_torchvision_raft_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(StandIn().state_dict(), tmp_path / "weights.pth")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(sys.modules, "torchvision.models", raising=False)
    with pytest.raises(ModelError, match=r"needs torchvision.*install"):
        raft(tmp_path / "weights.pth")


def test_code_in_a_file_of_weights_is_not_run(tmp_path: Path) -> None:
    torch.save({STEM: Poisoned(tmp_path / "harm")}, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match="can run code on this machine"):
        raft(tmp_path / "weights.pth")
    assert not (tmp_path / "harm").exists()


class Poisoned:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)
