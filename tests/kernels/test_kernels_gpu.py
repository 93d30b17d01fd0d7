"""The kernels on a real GPU, against the reference on the same GPU."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor

from patchvsr_core.kernels import Axis, Lattice, Placement, blend_into, gather_blend, kernel_status, mix_along_flow
from patchvsr_core.kernels.launch import INPUTS, tolerance
from patchvsr_core.kernels.references import add_reference, blend_reference, mix_reference
from patchvsr_core.plan.planner import tile_axis

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
SIZE = (9, 300, 417)


@pytest.fixture
def gpu() -> torch.device:
    """One on which all kernels are live."""
    device = torch.device("cuda", 0)
    for state in kernel_status(device):
        assert state.live, str(state)
    return device


def lattice_and_tiles(device: torch.device, dtype: torch.dtype, planar: bool) -> tuple[Lattice, list[Tensor]]:
    lattice = Lattice(Axis.whole(SIZE[0]), *(Axis.of(tile_axis(length, 128, 16)) for length in SIZE[1:])).on(device)
    shape = (3, SIZE[0], 128, 128) if planar else (SIZE[0], 128, 128, 3)
    tiles = [torch.rand(shape, device=device).mul(1.2).sub(0.1).to(dtype) for _ in range(len(lattice))]
    return lattice, [tile.movedim(0, 3) for tile in tiles] if planar else tiles


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("dtype", INPUTS)
@pytest.mark.parametrize("wanted", [*INPUTS, torch.uint8])
def test_gather(gpu: torch.device, dtype: torch.dtype, wanted: torch.dtype, planar: bool) -> None:
    lattice, tiles = lattice_and_tiles(gpu, dtype, planar)
    found = gather_blend(tiles, lattice, SIZE, wanted)
    axes = (lattice.t, lattice.y, lattice.x)
    geometry = [axis.starts for axis in axes], [axis.weights for axis in axes]
    off = (found.float() - blend_reference(tiles, *geometry, SIZE, wanted).float()).abs()
    assert off.max() <= tolerance(wanted)
    if wanted != torch.float32:
        assert (off > 0).float().mean() < 0.01


@pytest.mark.parametrize("dtype", INPUTS)
def test_add(gpu: torch.device, dtype: torch.dtype) -> None:
    canvas, wanted = torch.zeros(2, 16, 21, 90, 120, device=gpu)
    patches = torch.randn(4, 16, 21, 64, 64, device=gpu).to(dtype)
    places = [
        Placement((0, y, x), torch.rand(21, device=gpu), torch.rand(64, 64, device=gpu))
        for y, x in ((0, 0), (26, 0), (26, 56), (13, 28))
    ]
    blend_into(canvas, patches, places)
    origins = [start for place in places for start in place.origin]
    add_reference(wanted, patches, [p.weight_t for p in places], [p.weight_yx for p in places], origins)
    torch.testing.assert_close(canvas, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("halves", [False, True])
def test_mix(gpu: torch.device, interpolation: str, halves: bool) -> None:
    """Motion of whole halves too, where the last bit decides which cell is the nearest."""
    frame, neighbour = torch.rand(2, 2, 16, 135, 241, device=gpu)
    there = (
        torch.randint(-6, 7, (2, 2, 135, 241), device=gpu) / 2 if halves else 2 * torch.randn(2, 2, 135, 241).to(gpu)
    )
    back = torch.where(torch.rand(2, 1, 135, 241, device=gpu) < 0.5, -there, 90.0)
    given = frame, neighbour, there, back
    found = mix_along_flow(*given, interpolation=interpolation, weight=0.75, alpha1=0.1, alpha2=60.0)
    off = (found - mix_reference(*given, interpolation, 0.75, 0.1, 60.0)).abs()
    assert (off > 1e-5).float().mean() < 1e-5  # where the two sides of the condition differ in their last bit alone


def test_on_another_stream_and_while_a_graph_is_captured(gpu: torch.device) -> None:
    lattice, tiles = lattice_and_tiles(gpu, torch.float32, False)
    wanted = gather_blend(tiles, lattice, SIZE)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for tile in tiles:
            tile.mul_(2)
        found = gather_blend(tiles, lattice, SIZE)
    stream.synchronize()
    torch.testing.assert_close(found, 2 * wanted, atol=1e-5, rtol=0)
    frame, neighbour = torch.rand(2, 1, 4, 60, 80, device=gpu)
    flow = torch.zeros(1, 2, 60, 80, device=gpu)
    eager, graph = mix_along_flow(frame, neighbour, flow, flow), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = mix_along_flow(frame, neighbour, flow, flow)
    graph.replay()
    torch.testing.assert_close(captured, eager)


def test_nothing_is_said_where_all_is_well(gpu: torch.device, caplog: pytest.LogCaptureFixture) -> None:
    lattice, tiles = lattice_and_tiles(gpu, torch.float16, False)
    with caplog.at_level(logging.WARNING, "patchvsr"):
        gather_blend(tiles, lattice, SIZE, torch.uint8)
    assert not caplog.records
