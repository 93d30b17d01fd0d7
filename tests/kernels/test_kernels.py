"""The operations as everyone calls them: registration, gradients, compilers, and the path of the processor."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from patchvsr_core.kernels import (
    Axis,
    Lattice,
    Placement,
    blend_cpu,
    blend_into,
    gather_blend,
    kernel_status,
    mix_along_flow,
    placement_of,
)
from patchvsr_core.kernels.ops import OPS
from patchvsr_core.kernels.references import add_reference, blend_reference, mix_reference
from patchvsr_core.plan.canvas import Canvas, Patch
from patchvsr_core.plan.planner import plan_patches, tile_axis
from patchvsr_core.vae.decode import Tiles, blend_tiles

ROOT = Path(__file__).parents[2]
SIZE = (3, 21, 34)
FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def lattice_of(size: tuple[int, int, int], tile: tuple[int, int, int], overlap: int = 3) -> Lattice:
    axes = [
        Axis.of(tile_axis(length, min(w, length), min(overlap, w - 1))) for length, w in zip(size, tile, strict=True)
    ]
    return Lattice(*axes)


def tiles_of(lattice: Lattice, channels: int = 3) -> list[Tensor]:
    lengths = [axis.weights.shape[1] for axis in (lattice.t, lattice.y, lattice.x)]
    return [torch.rand(*lengths, channels) for _ in range(len(lattice))]


def reference(tiles: list[Tensor], lattice: Lattice, size: tuple[int, int, int], dtype: torch.dtype) -> Tensor:
    axes = (lattice.t, lattice.y, lattice.x)
    return blend_reference(tiles, [axis.starts for axis in axes], [axis.weights for axis in axes], size, dtype)


def mix_arguments(channels: int = 2) -> list[Tensor]:
    frame, neighbour = torch.rand(2, 1, channels, 7, 9)
    there = torch.randn(1, 2, 7, 9)
    return [frame, neighbour, there, -there + 0.1 * torch.randn(1, 2, 7, 9)]


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 40), st.integers(1, 50)),
    tile=st.tuples(st.integers(1, 7), st.integers(1, 20), st.integers(1, 20)),
    overlap=st.integers(0, 15),
    cut=st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)),
    channels=st.sampled_from([1, 3, 4, 16]),
    dtypes=st.tuples(st.sampled_from(FLOATS), st.sampled_from((*FLOATS, torch.uint8))),
    planar=st.booleans(),
    band=st.sampled_from([1, 64, blend_cpu.BAND]),
)
def test_bands_agree_with_the_reference(size, tile, overlap, cut, channels, dtypes, planar, band) -> None:  # type: ignore[no-untyped-def]
    lattice = lattice_of(size, tile, overlap)
    tiles = [tile.to(dtypes[0]) for tile in tiles_of(lattice, channels)]
    if planar:
        tiles = [tile.movedim(3, 0).contiguous().movedim(0, 3) for tile in tiles]
    visible = tuple(max(1, length - less) for length, less in zip(size, cut, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blend_cpu, "BAND", band)
        patch.setattr(blend_cpu, "LEAST_BAND", band)
        found = gather_blend(tiles, lattice, visible, dtypes[1])
    wanted = reference(tiles, lattice, visible, dtypes[1])
    assert found.shape == (*visible, channels) and found.is_contiguous() and found.dtype == dtypes[1]
    if dtypes[1] == torch.float32:
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    else:
        off = (found.float() - wanted.float()).abs()
        assert off.max() <= (1 if dtypes[1] == torch.uint8 else 2 * torch.finfo(dtypes[1]).eps)
        assert (off > 0).sum() <= max(3, 0.01 * off.numel()), "values at the edge of a rounding, here and there"


def test_what_no_tile_reaches_is_zero() -> None:
    lattice = Lattice(Axis.whole(1), Axis((1, 5), torch.ones(2, 3)), Axis((2,), torch.ones(1, 4)))
    found = gather_blend([torch.ones(1, 3, 4, 3)] * 2, lattice, (1, 9, 7))
    assert found.sum() == 2 * 3 * 4 * 3 and found[0, 1:4, 2:6].min() == 1 and found[0, 5:8, 2:6].min() == 1


@pytest.mark.parametrize("shape", ["one tile", "rows", "grid"])
def test_frames_as_bytes_are_the_rounded_frames(shape: str) -> None:
    canvas = Canvas(2, (20, 25), (40, 50), stride_px=8)
    height, width = canvas.padded_px
    tile = {"one tile": (height, width), "rows": (32, width), "grid": (32, 32)}[shape]
    starts = tuple([span.start for span in tile_axis(*axis, 8)] for axis in zip(canvas.padded_px, tile, strict=True))
    pixels = tuple(torch.rand(2, *tile, 3) * 1.2 - 0.1 for _ in range(len(starts[0]) * len(starts[1])))
    tiles = Tiles(canvas, starts, pixels)
    frames, small = blend_tiles(tiles), blend_tiles(tiles, dtype=torch.uint8)
    assert frames.shape == small.shape == (2, 40, 50, 3)
    assert torch.equal(small, (frames.clamp(0, 1) * 255).round().to(torch.uint8))


@pytest.mark.parametrize("layout", ["corner", "pairwise", "alternating"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_patches_are_added_as_joint_modulation_adds_them(layout: str, dtype: torch.dtype) -> None:
    plan = plan_patches(
        Canvas(13, (90, 70), (180, 140), stride_frames=4), patch_px=64, layout=layout, window_frames=9, overlap_frames=4
    )
    patches = plan.at_step(1)
    canvas, wanted = torch.zeros(2, 1, 4, *plan.canvas.latent_shape)
    for start in range(0, len(patches), 3):
        batch: tuple[Patch, ...] = patches[start : start + 3]
        predictions = torch.randn(len(batch), 4, *plan.patch_size).to(dtype)
        blend_into(canvas[0], predictions, [placement_of(patch, canvas.device) for patch in batch])
        for patch, x0 in zip(batch, predictions.float(), strict=True):
            patch.crop(wanted)[0].add_(x0 * patch.weight(wanted))
    torch.testing.assert_close(canvas, wanted, atol=1e-6, rtol=1e-6)
    assert canvas.abs().max() > 1


def test_a_placement_is_made_once_and_goes_with_its_plan() -> None:
    from patchvsr_core.kernels import placement

    plan = plan_patches(Canvas(5, (40, 40), (160, 160)), patch_px=64)
    before = len(placement._cache)
    places = [placement_of(patch, torch.device("cpu")) for patch in plan.patches]
    assert places[0] is placement_of(plan.patches[0], torch.device("cpu"))
    assert len(placement._cache) == before + len(plan.patches)
    del plan, places
    assert len(placement._cache) == before


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_modes_of_autograd_do_not_matter(mode) -> None:  # type: ignore[no-untyped-def]
    lattice, mixed = lattice_of(SIZE, (3, 8, 8)), mix_arguments()
    with mode():
        canvas = torch.zeros(2, *SIZE)
        blend_into(canvas, torch.ones(1, 2, 1, 2, 2), [Placement((1, 2, 3), torch.ones(1), torch.ones(2, 2))])
        frames = gather_blend(tiles_of(lattice), lattice, SIZE)
        found = mix_along_flow(*mixed)
    assert canvas.sum() == 8 and frames.shape == (*SIZE, 3) and found.shape == mixed[0].shape


def test_gradients_are_the_references() -> None:
    lattice = lattice_of(SIZE, (2, 9, 11))
    tiles = tiles_of(lattice)
    given = [[tile.clone().requires_grad_() for tile in tiles] for _ in range(2)]
    weight = torch.randn(*SIZE, 3)
    (gather_blend(given[0], lattice, SIZE) * weight).sum().backward()
    (reference(given[1], lattice, SIZE, torch.float32) * weight).sum().backward()
    for a, b in zip(*given, strict=True):
        assert a.grad is not None and a.grad.abs().sum() > 0 and torch.equal(a.grad, b.grad)

    flows = mix_arguments()
    results = []
    for call in (
        lambda *g: mix_along_flow(*g, interpolation="bilinear", alpha2=1.0),
        lambda *g: mix_reference(*g, "bilinear", 0.5, 0.001, 1.0),
    ):
        leaves = [tensor.clone().requires_grad_() for tensor in flows]
        call(*leaves).square().sum().backward()
        results.append([leaf.grad for leaf in leaves[:3]])
    for a, b in zip(*results, strict=True):
        assert a is not None and a.abs().sum() > 0 and torch.equal(a, b)

    patches = torch.rand(2, 2, 1, 4, 5, requires_grad=True)
    places = [Placement((k, k, k), torch.rand(1), torch.rand(4, 5)) for k in range(2)]
    canvas = torch.zeros(2, *SIZE)
    blend_into(canvas, patches, places)
    canvas.sum().backward()
    for k, place in enumerate(places):
        torch.testing.assert_close(patches.grad[k, 0], place.weight_t[:, None, None] * place.weight_yx)


def functions():  # type: ignore[no-untyped-def]
    lattice = lattice_of(SIZE, (2, 9, 11))
    places = [Placement((k, k, k), torch.rand(2), torch.rand(4, 5)) for k in range(2)]

    def added(canvas: Tensor, patches: Tensor) -> Tensor:
        canvas = canvas * 1
        blend_into(canvas, patches, places)
        return canvas + 1

    return {
        "gather": (lambda *tiles: gather_blend(tiles, lattice, SIZE, torch.float16) + 1, tiles_of(lattice)),
        "bytes": (lambda *tiles: gather_blend(tiles, lattice, SIZE, torch.uint8) + 1, tiles_of(lattice)),
        "add": (added, [torch.rand(2, *SIZE), torch.rand(2, 2, 2, 4, 5)]),
        "mix": (lambda *given: mix_along_flow(*given) + 1, mix_arguments()),
    }


def compiler_works() -> bool:
    try:
        torch.compile(lambda x: x + 1, fullgraph=True)(torch.ones(3))
    except Exception:  # whatever a machine without compilers raises
        return False
    return True


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("name", ["gather", "bytes", "add", "mix"])
def test_compilers_take_the_whole_graph(name: str, backend: str) -> None:
    if backend == "inductor" and not compiler_works():
        pytest.skip("torch.compile finds no C++ compiler here")
    function, arguments = functions()[name]
    wanted = function(*arguments)
    torch._dynamo.reset()
    found = torch.compile(function, backend=backend, fullgraph=True)(*arguments)
    torch.testing.assert_close(found, wanted)


def test_operations_stand_in_for_themselves_while_shapes_are_traced() -> None:
    for name, (function, arguments) in functions().items():
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            found = function(*(mode.from_tensor(tensor) for tensor in arguments))
        assert found.shape == function(*arguments).shape, name


def test_operations_are_registered_as_torch_wants_them() -> None:
    lattice = lattice_of(SIZE, (2, 9, 11))
    axes = (lattice.t, lattice.y, lattice.x)
    geometry = [list(axis.starts) for axis in axes], [axis.weights for axis in axes]
    tiles = tiles_of(lattice)
    operations = torch.ops.patchvsr
    for dtype in (torch.float32, torch.uint8):
        torch.library.opcheck(operations.gather_blend, (tiles, *geometry[0], *geometry[1], list(SIZE), dtype))
    patches, weights = torch.rand(2, 2, 2, 4, 5).movedim(1, 4).contiguous().movedim(4, 1), torch.rand(2, 4, 5)
    where = [0, 0, 0, 1, 3, 2]
    torch.library.opcheck(
        operations.blend_into, (torch.rand(2, *SIZE), patches, list(torch.rand(2, 2)), list(weights), where)
    )
    for interpolation in ("nearest", "bilinear", "bicubic"):
        torch.library.opcheck(operations.mix_along_flow, (*mix_arguments(), interpolation, 0.5, 0.01, 0.5))


def test_every_row_of_the_table_is_an_operation_with_a_kernel_that_ships() -> None:
    for op in OPS:
        schema = getattr(torch.ops.patchvsr, op.name).default._schema
        assert str(schema) == f"patchvsr::{op.name}{op.schema}"
    kernels = {name for op in OPS for name in op.file.kernels}
    assert kernels == {"blend_tiles", "add_patch", "mix_warped"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {**a, "tiles": a["tiles"][1:]}, "do not fit"),
        (lambda a: {**a, "tiles": [a["tiles"][0][:1], *a["tiles"][1:]]}, "same size"),
        (lambda a: {**a, "size": (3, 21)}, "cannot be blended"),
        (lambda a: {**a, "dtype": torch.int32}, "cannot be blended"),
        (lambda a: {**a, "lattice": replace(a["lattice"], x=Axis((5, 0, 9, 11), a["lattice"].x.weights))}, "ascending"),
        (lambda a: {**a, "tiles": [tile[:, :-1] for tile in a["tiles"]]}, "Weights"),
    ],
)  # fmt: skip
def test_tiles_that_do_not_fit_are_refused(change, words: str) -> None:  # type: ignore[no-untyped-def]
    lattice = lattice_of(SIZE, (2, 9, 11))
    assert len(lattice.x.starts) == 4
    arguments = {"tiles": tiles_of(lattice), "lattice": lattice, "size": SIZE, "dtype": torch.float32}
    with pytest.raises(ValueError, match=words):
        gather_blend(**change(arguments))


def test_patches_off_the_canvas_and_flows_of_another_size_are_refused() -> None:
    place = Placement((0, 0, 0), torch.ones(1), torch.ones(4, 5))
    canvas, patch = torch.zeros(2, *SIZE), torch.ones(1, 2, 1, 4, 5)
    for origin in ((3, 0, 0), (0, 18, 0), (0, 0, 30), (-1, 0, 0)):
        with pytest.raises(ValueError, match="leaves the canvas"):
            blend_into(canvas, patch, [Placement(origin, place.weight_t, place.weight_yx)])
    for wrong in ([], [place, place]):
        with pytest.raises(ValueError, match="placements"):
            blend_into(canvas, patch, wrong)
    with pytest.raises(ValueError, match="float32"):
        blend_into(canvas.half(), patch, [place])
    assert canvas.sum() == 0
    frame, neighbour, there, back = mix_arguments()
    with pytest.raises(ValueError, match="do not match"):
        mix_along_flow(frame, neighbour, there[:, :1], back)
    with pytest.raises(ValueError, match="unknown"):
        mix_along_flow(frame, neighbour, there, back, interpolation="lanczos")


def test_on_a_processor_nothing_is_loaded_and_the_status_says_so() -> None:
    states = kernel_status(torch.device("cpu"))
    assert [state.name for state in states] == ["blend", "warp"]
    for state in states:
        assert not state.live and "not cpu" in str(state) and "not GPU-checked" in str(state)


PROBE = """
import ctypes, sys
before = ctypes.CDLL
def refuse(name, *more, **options):
    raise AssertionError(f"loaded {name}")
ctypes.CDLL = refuse
import patchvsr_core, patchvsr_core.kernels, torch
from patchvsr_core.kernels import Axis, Lattice, gather_blend
gather_blend([torch.rand(1, 4, 4, 3)], Lattice(*map(Axis.whole, (1, 4, 4))), (1, 4, 4))
assert not torch.cuda.is_initialized()
assert not any(name.startswith("torch._dynamo") for name in set(sys.modules) - START)
"""


def test_import_and_use_on_a_processor_load_no_driver_and_no_compiler() -> None:
    code = "import sys, torch; START = set(sys.modules)\n" + PROBE
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_reference_adds_what_the_old_formula_added() -> None:
    canvas, patch = torch.rand(2, *SIZE), torch.rand(1, 2, 2, 4, 5)
    weight_t, weight_yx = torch.rand(2), torch.rand(4, 5)
    wanted = canvas.clone()
    wanted[:, 1:3, 2:6, 3:8] += patch[0] * (weight_t[:, None, None] * weight_yx)
    add_reference(canvas, patch, [weight_t], [weight_yx], [1, 2, 3])
    torch.testing.assert_close(canvas, wanted, atol=1e-6, rtol=0)
