"""The kernels' own sources, built as C++, through the real loader: their results, and what the loader explains."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import emulated
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from patchvsr_core.kernels import launch, loading
from patchvsr_core.kernels.driver import LIBRARY_VARIABLE, Driver
from patchvsr_core.kernels.launch import BLEND, WARP, tolerance
from patchvsr_core.kernels.ops import BLEND_INTO, GATHER_BLEND, MIX_ALONG_FLOW
from patchvsr_core.kernels.references import add_reference, blend_reference, mix_reference

pytestmark = pytest.mark.skipif(emulated.COMPILER is None, reason="needs a C++ compiler (g++ or clang++)")
CPU = torch.device("cpu")
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
SLOW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emulated.build(tmp_path_factory.mktemp("driver"))


def forget() -> None:
    BLEND.reset()
    WARP.reset()
    loading._logged.clear()


@pytest.fixture
def driver(built: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ctypes.CDLL]:
    """The library, which the loader takes for the system's driver."""
    monkeypatch.setenv(LIBRARY_VARIABLE, str(built))
    forget()
    library = ctypes.CDLL(str(built))
    yield library
    ctypes.c_int.in_dll(library, "fake_version").value = 12000
    ctypes.c_int.in_dll(library, "fake_launch_error").value = 0
    ctypes.memset(library.fake_log, 0, 1)
    assert library.fake_depth() == 0, "a context was pushed and not popped"
    forget()


def launches_of(library: ctypes.CDLL) -> int:
    return ctypes.c_int.in_dll(library, "fake_launches").value


def random_lattice(
    starts: list[list[int]], lengths: tuple[int, int, int], channels: int, dtype: torch.dtype, layout: str
) -> tuple[list[Tensor], list[Tensor]]:
    """(tiles, weights); a layout names the axes of tiles in memory, and ``*`` means every other element."""
    count = len(starts[0]) * len(starts[1]) * len(starts[2])
    sizes = dict(zip("thwc", (*lengths, channels), strict=True))
    order = layout.strip("*")
    tiles = []
    for _ in range(count):
        stored = torch.rand([sizes[axis] * (2 if "*" in layout else 1) for axis in order]).mul(1.4).sub(0.2).to(dtype)
        stored = stored[tuple(slice(None, None, 2) for _ in order)] if "*" in layout else stored
        tiles.append(stored.permute([order.index(axis) for axis in "thwc"]))
    return tiles, [torch.rand(len(begin), length) for begin, length in zip(starts, lengths, strict=True)]


def spread(length: int, reach: int, count: int) -> list[int]:
    return sorted({round(k * max(0, length - reach) / max(1, count - 1)) for k in range(count)})


@SLOW
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 23), st.integers(1, 37)),
    lengths=st.tuples(st.integers(1, 9), st.integers(1, 11), st.integers(1, 13)),
    counts=st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 4)),
    channels=st.integers(1, 5),
    dtypes=st.tuples(st.sampled_from(FLOATS), st.sampled_from((*FLOATS, torch.uint8))),
    layout=st.sampled_from(["thwc", "cthw", "tchw", "wthc*", "cthw*"]),
)
def test_gather_agrees_with_the_reference(
    driver: ctypes.CDLL,
    size: tuple[int, int, int],
    lengths: tuple[int, int, int],
    counts: tuple[int, int, int],
    channels: int,
    dtypes: tuple[torch.dtype, torch.dtype],
    layout: str,
) -> None:
    """Windows that overlap, leave holes or reach beyond the canvas; every type, many layouts."""
    starts = [spread(*axis) for axis in zip(size, lengths, counts, strict=True)]
    tiles, weights = random_lattice(starts, lengths, channels, dtypes[0], layout)
    before = launches_of(driver)
    found = GATHER_BLEND.run_kernel(tiles, *starts, *weights, list(size), dtypes[1])
    assert launches_of(driver) > before
    wanted = blend_reference(tiles, starts, weights, size, dtypes[1])
    assert found.dtype == wanted.dtype and found.shape == wanted.shape and found.is_contiguous()
    assert (found.float() - wanted.float()).abs().max() <= 4 * tolerance(dtypes[1])
    if dtypes[1] == torch.uint8:
        assert (found != wanted).float().mean() < 0.02


def test_a_large_frame_takes_several_blocks_and_frames_per_thread(driver: ctypes.CDLL) -> None:
    starts, lengths, size = [[0], [0, 20], [0, 150, 260]], (11, 30, 200), (11, 47, 450)
    tiles, weights = random_lattice(starts, lengths, 3, torch.float16, "thwc")
    found = GATHER_BLEND.run_kernel(tiles, *starts, *weights, list(size), torch.float32)
    torch.testing.assert_close(found, blend_reference(tiles, starts, weights, size, torch.float32), atol=1e-5, rtol=0)


def test_rounding_to_bytes_and_to_half_is_torchs_own(driver: ctypes.CDLL) -> None:
    """One tile with weight 1: nothing is summed, and every bit must agree. All float16 and all halves of a byte."""
    every = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.float16)
    steps = (torch.arange(-40, 600) / 2 / 255).float()
    near = torch.tensor(
        [1e-8, 6e-8, 5.96e-8, 8.9e-8, 6.1e-5, 65504.0, 65519.0, 65520.0, 7e4, float("inf"), 3.4e38, -0.0]
    )
    values = torch.cat([torch.randn(5000), torch.randn(500) * 1e-6, near, -near, steps, steps.nextafter(steps + 1)])
    for source, dtype in (
        (every, torch.float32), (every.float(), torch.float16), (values, torch.float16),
        (values, torch.bfloat16), (values.bfloat16(), torch.float32), (values, torch.uint8),
    ):  # fmt: skip
        tile = source.reshape(1, 1, -1, 1)
        weights = [torch.ones(1, length) for length in tile.shape[:3]]
        found = GATHER_BLEND.run_kernel([tile], [0], [0], [0], *weights, list(tile.shape[:3]), dtype).flatten()
        wanted = (source.clamp(0, 1) * 255).round().to(dtype) if dtype == torch.uint8 else source.to(dtype)
        torch.testing.assert_close(found, wanted, atol=0, rtol=0, equal_nan=True)


def test_tiles_of_different_strides_are_read_alike(driver: ctypes.CDLL) -> None:
    starts, lengths, size = [[0], [0], [0, 6]], (2, 5, 8), (2, 5, 14)
    tiles, weights = random_lattice(starts, lengths, 3, torch.float32, "thwc")
    other = [tiles[0], tiles[1].movedim(3, 0).contiguous().movedim(0, 3)]
    assert other[1].stride() != tiles[1].stride()
    found = [GATHER_BLEND.run_kernel(t, *starts, *weights, list(size), torch.float32) for t in (tiles, other)]
    assert torch.equal(*found)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", ["plain", "frames last", "every other"])
def test_patches_are_added_in_place_and_nowhere_else(driver: ctypes.CDLL, dtype: torch.dtype, layout: str) -> None:
    size, origins = (4, 3, 6, 7), [0, 0, 0, 2, 5, 3, 1, 2, 1]
    store = torch.full((5, 7, 13, 15), float("nan"))
    canvas = store[:4, 1:6, 1:12, 1:11]
    canvas.normal_()
    patches = torch.randn(3, *size)
    if layout == "frames last":
        patches = patches.movedim(2, 4).contiguous().movedim(4, 2)
    elif layout == "every other":
        patches = torch.randn(3, 8, 3, 12, 14)[:, ::2, :, ::2, ::2]
    patches = patches.to(dtype)
    weights_t, weights_yx = list(torch.rand(3, 3)), list(torch.rand(3, 7, 6).mT)
    assert not weights_yx[0].is_contiguous()
    wanted = canvas.clone()
    add_reference(wanted, patches, weights_t, weights_yx, origins)
    before, outside = launches_of(driver), store.isnan()
    BLEND_INTO.run_kernel(canvas, patches, weights_t, weights_yx, origins)
    assert launches_of(driver) >= before + 3
    torch.testing.assert_close(canvas, wanted, atol=1e-6, rtol=0)
    assert torch.equal(store.isnan(), outside)


MIX = [("nearest", 0.5, 0.001, 0.05), ("bilinear", 1.0, 0.01, 0.5), ("bicubic", 0.3, 0.1, 2.0), ("nearest", 0.0, 1, 1)]


def frames_and_flows(batch: int, channels: int, size: tuple[int, int], motion: float) -> list[Tensor]:
    """Frames and flows as views of videos, as propagation cuts them; half of the returns agree."""
    video = torch.rand(batch, channels, 3, *size)
    there = motion * torch.randn(batch, 2, 3, *size)
    back = torch.where(torch.rand(batch, 1, 3, *size) < 0.5, torch.zeros(()), 0.1) - there.mean((-1, -2), True)
    return [video[:, :, 0], video[:, :, 1], there[:, :, 1], back[:, :, 2]]


@SLOW
@given(
    size=st.tuples(st.integers(1, 19), st.integers(1, 33)),
    batch=st.integers(1, 2),
    channels=st.integers(1, 5),
    motion=st.sampled_from([0.0, 0.3, 2.0, 30.0, 1e12]),
    how=st.sampled_from(MIX),
)
def test_mixing_agrees_with_the_reference(
    driver: ctypes.CDLL, size: tuple[int, int], batch: int, channels: int, motion: float, how: tuple
) -> None:
    given = frames_and_flows(batch, channels, size, motion)
    before = launches_of(driver)
    found = MIX_ALONG_FLOW.run_kernel(*given, *how)
    assert launches_of(driver) > before and found.is_contiguous()
    torch.testing.assert_close(found, mix_reference(*given, *how), atol=2e-5, rtol=1e-5)


def test_places_between_two_cells_round_as_the_reference_does(driver: ctypes.CDLL) -> None:
    """Motion of whole halves: what the nearest cell is, is decided by the last bit."""
    for width in (5, 33, 64, 107, 480):
        frame, neighbour = torch.rand(2, 1, 1, 7, width)
        there = torch.randint(-6, 7, (1, 2, 7, width)) / 2
        how = ("nearest", 1.0, 1.0, 1e6)
        found = MIX_ALONG_FLOW.run_kernel(frame, neighbour, there, -there, *how)
        assert torch.equal(found, mix_reference(frame, neighbour, there, -there, *how))


def test_a_gpus_own_way_to_count_places_is_followed(driver: ctypes.CDLL) -> None:
    """There grid_sample is contracted: fma(g + 1, size, -1) / 2 with g a product with the reciprocal."""
    width = 107
    neighbour = torch.rand(1, 1, 1, width)
    there = torch.zeros(1, 2, 1, width)
    there[:, 0] = torch.randint(-6, 7, (1, width)) / 2
    run = WARP.launcher(CPU)

    def contracted(kernel: str, cells: tuple[int, int, int], arguments: list) -> None:
        run(kernel, cells, [*arguments[:-1], ctypes.c_int(1)])

    how = ("nearest", 1.0, 1.0, 1e6)
    found = launch.launch_mix(contracted, torch.zeros_like(neighbour), neighbour, there, -there, *how)
    shown = (torch.arange(width) + there[0, 0, 0]) * 2 + 1
    unit = shown * (torch.tensor(1.0) / width) - 1 + 1
    place = ((unit.double() * width - 1).float() * 0.5).round().long()
    inside = (place >= 0) & (place < width)
    assert torch.equal(found[0, 0, 0], torch.where(inside, neighbour[0, 0, 0, place.clamp(0, width - 1)], 0.0))
    assert not torch.equal(found, mix_reference(torch.zeros_like(neighbour), neighbour, there, -there, *how))


def test_flows_that_are_no_numbers_change_nothing(driver: ctypes.CDLL) -> None:
    given = frames_and_flows(1, 2, (4, 5), 0.0)
    given[2] = torch.full((1, 2, 4, 5), float("nan"))
    assert torch.equal(MIX_ALONG_FLOW.run_kernel(*given, "bilinear", 1.0, 1.0, 1.0), given[0])


def differs() -> bool:
    """Whether the comparison that a device's first use brings finds anything, in either file."""
    forget()
    return any("differ from the reference" in file.on(CPU).reason for file in (BLEND, WARP))


@pytest.mark.parametrize(
    ("count", "first", "second"), [(24, 22, 23), (24, 13, 14), (17, 3, 4), (30, 27, 28), (30, 10, 15), (30, 5, 10)]
)
def test_two_swapped_arguments_are_found(
    driver: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, count: int, first: int, second: int
) -> None:
    """Of the kernel with ``count`` of them; pairs that leave every access within memory."""
    launch, met = loading._launch, set()

    def swapped(function, device, cells, arguments) -> None:  # type: ignore[no-untyped-def]
        met.add(len(arguments))
        arguments = list(arguments)
        if len(arguments) == count:
            arguments[first], arguments[second] = arguments[second], arguments[first]
        launch(function, device, cells, arguments)

    assert not differs()
    monkeypatch.setattr(loading, "_launch", swapped)
    assert differs() and count in met


def test_wrong_strides_and_types_are_found(driver: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(launch, "strides", lambda tensor: loading.strides(tensor.contiguous()))
        assert differs()
    for kind, wrong in ((torch.float16, 2), (torch.bfloat16, 1), (torch.float32, 1)):
        with monkeypatch.context() as patch:
            patch.setitem(launch.KINDS, kind, wrong)
            assert differs()
    assert not differs()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sum += share * load", "sum = share * load"),
        ("start_y[j] <= y", "start_y[j] < y"),
        ("canvas[to] +=", "canvas[to] ="),
        ("(size - 0x38000000u)", "(size - 0x37000000u)"),
        ("< alpha1 * size + alpha2", "< alpha1 * size - alpha2"),
        ("rintf(x)", "floorf(x)"),
        ("const float a = -0.75f;", "const float a = -0.5f;"),
    ],
)
def test_a_broken_kernel_is_found_and_the_reference_does_its_work(
    tmp_path: Path,
    driver: ctypes.CDLL,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    old: str,
    new: str,
) -> None:
    monkeypatch.setenv(LIBRARY_VARIABLE, str(emulated.build(tmp_path, {old: new})))
    forget()
    starts, lengths, size = [[0], [0, 3], [0, 4]], (1, 6, 7), (1, 9, 11)
    tiles, weights = random_lattice(starts, lengths, 3, torch.float32, "thwc")
    flows = frames_and_flows(1, 2, (6, 7), 1.0)
    with caplog.at_level(logging.WARNING, "patchvsr"):
        for _ in range(2):
            found = GATHER_BLEND.run_kernel(tiles, *starts, *weights, list(size), torch.float32)
            mixed = MIX_ALONG_FLOW.run_kernel(*flows, *MIX[1])
    wanted = blend_reference(tiles, starts, weights, size, torch.float32)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert len(caplog.records) == 1 and "differ from the reference" in caplog.text
    torch.testing.assert_close(mixed, mix_reference(*flows, *MIX[1]))


def once(caplog: pytest.LogCaptureFixture, *words: str) -> None:
    """Gather twice; the reference answers, and one line says why."""
    forget()
    caplog.clear()
    tile, weights = torch.rand(1, 3, 4, 3), [torch.ones(1, n) for n in (1, 3, 4)]
    with caplog.at_level(logging.WARNING, "patchvsr"):
        for _ in range(2):
            assert torch.equal(GATHER_BLEND.run_kernel([tile], [0], [0], [0], *weights, [1, 3, 4], torch.float32), tile)
    assert len(caplog.records) == 1
    for word in words:
        assert word in caplog.text


def test_what_keeps_kernels_from_running_is_said_once(
    driver: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(LIBRARY_VARIABLE, "/nowhere/libcuda.so.1")
        once(caplog, "/nowhere/libcuda.so.1", "cannot be loaded")
    with monkeypatch.context() as patch:
        patch.setenv(loading.SWITCH, "off")
        once(caplog, "PATCHVSR_KERNELS=off")
    with monkeypatch.context() as patch:
        patch.setattr(torch.version, "hip", "6.0")
        once(caplog, "ROCm")
    ctypes.c_int.in_dll(driver, "fake_version").value = 11080
    once(caplog, "CUDA 11.8", "525")
    ctypes.c_int.in_dll(driver, "fake_version").value = 13000
    log = b"ptxas application ptx input, line 9; fatal: Unsupported .version 9.9"
    ctypes.memmove(driver.fake_log, log, len(log) + 1)
    once(caplog, "CUDA_ERROR_INVALID_PTX", "Unsupported .version 9.9")
    ctypes.memset(driver.fake_log, 0, 1)
    ctypes.c_int.in_dll(driver, "fake_launch_error").value = 1
    once(caplog, "cuLaunchKernel", "CUDA_ERROR_INVALID_VALUE")


def test_a_launch_that_fails_later_leaves_the_rest_to_the_reference(
    driver: ctypes.CDLL, caplog: pytest.LogCaptureFixture
) -> None:
    canvas, patches = torch.zeros(2, 1, 4, 6), torch.rand(2, 2, 1, 4, 4)
    weights = [torch.ones(1)] * 2, [torch.ones(4, 4)] * 2
    assert not BLEND.on(CPU).reason
    ctypes.c_int.in_dll(driver, "fake_launch_error").value = 1
    with caplog.at_level(logging.WARNING, "patchvsr"):
        BLEND_INTO.run_kernel(canvas, patches, *weights, [0, 0, 0, 0, 0, 2])
    wanted = torch.zeros_like(canvas)
    add_reference(wanted, patches, *weights, [0, 0, 0, 0, 0, 2])
    assert torch.equal(canvas, wanted) and len(caplog.records) == 1


def test_types_without_a_kernel_go_to_the_reference(driver: ctypes.CDLL, caplog: pytest.LogCaptureFixture) -> None:
    tile, weights = torch.rand(1, 3, 4, 3, dtype=torch.float64), [torch.ones(1, n) for n in (1, 3, 4)]
    flows = [tensor.double() for tensor in frames_and_flows(1, 2, (4, 5), 1.0)]
    with caplog.at_level(logging.WARNING, "patchvsr"):
        found = GATHER_BLEND.run_kernel([tile], [0], [0], [0], *weights, [1, 3, 4], torch.float64)
        mixed = MIX_ALONG_FLOW.run_kernel(*flows, *MIX[1])
    torch.testing.assert_close(found, tile, atol=1e-7, rtol=0)
    assert mixed.dtype == torch.float64
    assert len(caplog.records) == 2 and "torch.float64" in caplog.text


def test_a_kernel_that_is_missing_is_named(driver: ctypes.CDLL) -> None:
    module = Driver().module(0, (loading.SOURCES / "warp.ptx").read_bytes() + b"\0")
    with pytest.raises(Exception, match="cuModuleGetFunction failed with error 500"):
        module.function("blend_tiles")


def test_threads_load_once_and_launch_each_for_themselves(driver: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    starts, lengths, size = [[0], [0, 3], [0, 4]], (1, 6, 7), (1, 9, 11)
    tiles, weights = random_lattice(starts, lengths, 3, torch.float32, "thwc")
    wanted = blend_reference(tiles, starts, weights, size, torch.float32)
    compared = []
    compare = BLEND._compare
    monkeypatch.setattr(BLEND, "_compare", lambda *how: compared.append(1) or compare(*how))
    found: list[Tensor] = []

    def work() -> None:
        found.append(GATHER_BLEND.run_kernel(tiles, *starts, *weights, list(size), torch.float32))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compared) == 1 and len(found) == 8
    for result in found:
        torch.testing.assert_close(result, wanted, atol=1e-6, rtol=0)
